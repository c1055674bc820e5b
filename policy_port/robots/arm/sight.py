"""Whether a camera shows something, and something new: one that hangs or is covered delivers frames all the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy_port.robots.arm.stops import ArmStopError

BLANK_TIME = 0.5
"""How long nothing may be seen [s]: a flash or a frame that broke on the way is over by then."""
REPEATS = 3
"""Equal frames that make a camera one that hangs; a stall of the program alone makes two."""
STRIDE = 8
"""Every so many rows and columns are looked at first [pixels]."""
DARK = 24
"""Brightness below which nearly all of a black picture is, a covered sensor's noise included."""
SPREAD = 8
"""Brightness within which nearly all of a picture of one colour is."""


class Sight:
    """Looks at each new frame of one camera."""

    def __init__(self, name: str, still: float) -> None:
        """Begin to look.

        Args:
            name: The camera.
            still: How long frames may be equal to the last bit [s]: the noise of a sensor changes every one.
        """
        self._name, self._still = name, still
        self._image: NDArray[np.uint8] | None = None
        self._stamp = self._since = 0.0
        self._repeats = 0
        self._blank: float | None = None

    def look(self, image: NDArray[np.uint8], stamp: float) -> None:
        """Look at a frame, shape (height, width, 3), taken at `stamp` [s].

        Raises:
            ArmStopError: When the camera hangs or shows nothing.
        """
        before = self._image
        if before is not None and stamp == self._stamp:
            return
        same = before is not None and _equal(image, before)
        self._repeats = self._repeats + 1 if same else 0
        if not same:
            self._since = stamp
        what = _nothing(image[::STRIDE, ::STRIDE])
        self._blank = None if not what else stamp if self._blank is None else self._blank
        self._image, self._stamp = image, stamp
        if self._blank is not None and stamp - self._blank > BLANK_TIME:
            raise ArmStopError(
                f"camera '{self._name}' has shown nothing but {what} for {stamp - self._blank:.1f} s: look at its "
                "lens, its cable and the light",
                may_move=True,
            )
        if self._repeats >= REPEATS and stamp - self._since > self._still:
            raise ArmStopError(
                f"camera '{self._name}' has delivered the same picture {self._repeats + 1} times in "
                f"{stamp - self._since:.1f} s: it hangs, as the noise of a sensor changes every picture. Plug it in "
                f"again; a compressed or drawn stream may need a longer cameras.{self._name}.still in the robot file",
                may_move=True,
            )


def _equal(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    coarse = np.array_equal(one[::STRIDE, ::STRIDE], other[::STRIDE, ::STRIDE])
    return coarse and np.array_equal(one, other)


def _nothing(sample: NDArray[np.uint8]) -> str:
    """What a picture without a picture shows; empty where there is something to be seen."""
    pixels = sample.reshape(-1, sample.shape[-1])
    low, high = np.percentile(pixels, (0.5, 99.5), axis=0)
    if high.max() < DARK:
        return "black"
    return "one colour" if (high - low).max() < SPREAD else ""
