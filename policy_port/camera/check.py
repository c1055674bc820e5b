"""Whether a camera still is what it was when its view was found: where it stands, its lens, its colours, its frames."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.camera.overlay import ORIENTATIONS, ROWS, Overlay, Place, edge_width, oriented
from policy_port.camera.picture import NetworkPicture, picture_spec
from policy_port.camera.reference import (
    ARM,
    BRIGHT,
    SURE,
    WHITE,
    Reference,
    apart,
    arm_chroma,
    balance,
    brightness,
    chroma,
    fingerprint,
    red_blue,
)
from policy_port.camera.render import Twin
from policy_port.camera.stills import Frame, median
from policy_port.camera.view import View
from policy_port.errors import CameraError, closest


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What is right; beyond it is a finding."""

    shift: float = 4.0
    """The arm elsewhere in the picture [pixels of 240 rows]: about a centimetre of a camera at 0.6 m."""
    scale: float = 0.034
    """The arm larger or smaller, by this share."""
    turn: float = math.radians(3.0)
    """The arm turned in the picture [rad]."""
    unstored: float = 1.5
    """Factor of the three where nothing is stored: a view and joint zeros are off by a little themselves."""
    found: float = 0.2
    """Share of the twin's edges that have to be in the picture."""
    kept: float = 0.5
    """Share of the stored overlay that has to be there."""
    better: float = 0.05
    """By how much more of the edges is found elsewhere, or in a picture turned over, before that counts."""
    darker: float = 0.62
    """Least brightness, of what it was: light may vary by 30 %."""
    brighter: float = 1.38
    """Most brightness, of what it was."""
    balance: float = 1.25
    """Red or blue against green, by this factor."""
    blur: float = 1.8
    """Edges wider by this factor."""
    widest: float = 4.0
    """Widest edges, where nothing is stored [pixels of 480 rows]."""
    rate: float = 0.7
    """Share of the frame rate that has to be there."""
    age: float = 0.3
    """Oldest last frame [s]."""


BOUNDS = Bounds()
NAMES = (
    *("size", "frozen", "rate", "age", "not_found", "another", "moved", "fov", "mirrored", "turned_over"),
    *("upside_down", "red_blue", "exposure", "white_balance", "focus", "trained"),
)
"""What can be wrong, as `--accept` names it."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong."""

    name: str
    """One of `NAMES`."""
    text: str
    """What was seen, what the bound is, what to do."""


@dataclass(frozen=True)
class Seen:
    """What was measured of frames."""

    image: NDArray[np.uint8]
    """Their median."""
    overlay: Overlay
    """The twin's edges."""
    place: Place
    """Where the arm is."""
    at_place: float
    """Share of edges that are where the view says."""
    mask: NDArray[np.bool_]
    """Where the arm is to be."""
    drawn: NDArray[np.uint8]
    """The twin's picture."""


def check_camera(
    frames: Sequence[Frame],
    view: View,
    joint_positions: Mapping[str, float],
    robot: Twin | Path | str,
    stored: Reference | None = None,
    *,
    others: Mapping[str, View] | None = None,
    fps: float | None = None,
    now: float | None = None,
) -> list[Finding]:
    """Hold a camera's frames against its view and what was stored of it.

    Args:
        frames: At least three that came one after the other, of an arm that stands still: whole, not cropped.
        view: Of the whole frames.
        joint_positions: By name [rad or m], all of the robot's joints.
        robot: The robot file or name, or its twin.
        stored: What the camera showed when all was right; without it, less is told.
        others: Views of other cameras by name: one that is exchanged is named.
        fps: The rate that the camera was opened with [Hz].
        now: When the check is made, on the frames' clock; now, if None.

    Returns:
        What is wrong, the gravest first; empty where nothing is.

    Raises:
        CameraError: When there are too few frames, the arm is not in view, or `stored` is another view's.
    """
    timed = _timing(frames, view, fps, now)
    if any(finding.name == "size" for finding in timed):
        return timed
    if stored is not None and stored.view != fingerprint(view):
        raise CameraError(
            "what is stored was stored with another view; store it again with `policy-port camera check --store`"
        )
    with drawing(robot) as twin:
        seen = look(frames, view, joint_positions, twin)
        astray = placed(seen, stored)
        if astray:
            for name, other in (others or {}).items():
                drawn = Overlay(twin.render(other.straight, joint_positions))
                if drawn.at_place(_resized(seen.image, other)) > seen.at_place + BOUNDS.better:
                    text = f"shows what camera '{name}' is to show: the two are exchanged. Exchange their sources"
                    astray = [Finding("another", text)]
                    break
    return timed + astray + _colours(seen, stored) + _light(seen, stored) + _sharpness(seen, stored)


def look(frames: Sequence[Frame], view: View, joint_positions: Mapping[str, float], twin: Twin) -> Seen:
    """Measure where an arm is in frames; see `check_camera`."""
    spec = picture_spec("camera", size=view.size, camera_size=view.size)
    image = NetworkPicture(spec, view).straight(median([frame.image for frame in frames]))
    drawn = twin.render(view.straight, joint_positions)
    overlay = Overlay(drawn)
    return Seen(image, overlay, overlay.seen(image), overlay.at_place(image), drawn.mask, drawn.rgb)


def reference(
    frames: Sequence[Frame], view: View, joint_positions: Mapping[str, float], robot: Twin | Path | str
) -> Reference:
    """What to store of a camera that is right.

    Raises:
        CameraError: When it is not: its findings.
    """
    with drawing(robot) as twin:
        findings = check_camera(frames, view, joint_positions, twin, None, now=frames[-1].stamp)
        if findings:
            raise CameraError("nothing was stored: " + "; ".join(f"{item.name}: {item.text}" for item in findings))
        seen = look(frames, view, joint_positions, twin)
    place, parts = seen.place, chroma(seen.image, seen.mask)
    return Reference(
        view=fingerprint(view),
        size=view.size,
        overlay=round(seen.at_place, 4),
        place=(place.across, place.down, round(place.scale, 5), round(place.turn, 5)),
        brightness=tuple(brightness(seen.image).round(2).tolist()),
        balance=balance(seen.image),
        edge=round(edge_width(seen.image), 3),
        arm=arm_chroma(seen.image, seen.mask),
        colours=tuple(None if np.isnan(part).any() else (round(part[0], 4), round(part[1], 4)) for part in parts),
    )


def refuse(findings: Sequence[Finding], accepted: Collection[str], camera: str) -> list[str]:
    """Refuse what was not accepted.

    Returns:
        Words on what was.

    Raises:
        CameraError: Listing what is wrong, or a name that no finding has.
    """
    for name in accepted:
        if name not in NAMES:
            raise CameraError(
                f"--accept {name}: no finding has this name{closest(name, NAMES) or ';'} {', '.join(NAMES)}"
            )
    wrong = [item for item in findings if item.name not in accepted]
    if wrong:
        lines = "\n".join(f"  {item.name}: {item.text}" for item in wrong)
        names = " ".join(f"--accept {name}" for name in dict.fromkeys(item.name for item in wrong))
        raise CameraError(f"camera '{camera}' is not as its view says:\n{lines}\nMend it, or go on with {names}")
    return [f"accepted: {item.name}: {item.text}" for item in findings]


def _timing(frames: Sequence[Frame], view: View, fps: float | None, now: float | None) -> list[Finding]:
    if len(frames) < 3:
        raise CameraError(f"{len(frames)} frames are too few for a check; give three or more")
    images = [frame.image for frame in frames]
    rows, columns = images[0].shape[:2]
    if any(image.shape[:2] != view.size for image in images):
        return [
            Finding(
                "size",
                f"its frames are {columns}x{rows}, the view's {view.size[1]}x{view.size[0]}: open it as it was for the "
                "view, and give its frames uncropped",
            )
        ]
    found = []
    if all(np.array_equal(images[0], image) for image in images[1:]):
        found.append(
            Finding("frozen", f"{len(images)} frames are equal to the last bit; a sensor's noise changes every one. "
                    "Plug it in again")
        )  # fmt: skip
    stamps = [frame.stamp for frame in frames]
    if stamps[-1] <= stamps[0]:
        return found
    rate = (len(stamps) - 1) / (stamps[-1] - stamps[0])
    if fps is not None and rate < BOUNDS.rate * fps:
        found.append(
            Finding("rate", f"{rate:.1f} frames come a second, {fps:g} were asked for: light too dim for the exposure, "
                    "or a USB hub that it shares; an emulated one draws no faster here, ask it for fewer")
        )  # fmt: skip
    age = (time.perf_counter() if now is None else now) - stamps[-1]
    if age > BOUNDS.age:
        found.append(Finding("age", f"the last frame is {age:.2f} s old; the bound is {BOUNDS.age:g}"))
    return found


def placed(seen: Seen, stored: Reference | None) -> list[Finding]:
    """Whether the arm is where the view says, and the right way round."""
    place = seen.place
    least = max(BOUNDS.found, BOUNDS.kept * stored.overlay if stored else 0.0)
    for name in [name for name in ORIENTATIONS if name]:
        turned = seen.overlay.seen(oriented(seen.image, name), far=False)
        if turned.score > least and turned.score > max(place.score, seen.at_place) + BOUNDS.better:
            return [Finding(name, _TURNED[name])]
    if max(place.score, seen.at_place) < least:
        return [
            Finding("not_found", f"{place.score:.0%} of the arm's edges are found, the bound is {least:.0%}: another "
                    "camera, one that was moved far, or an arm elsewhere than its joints say. Look at the picture; "
                    "solve the view again with `policy-port camera solve`")
        ]  # fmt: skip
    before = stored.place if stored else (0.0, 0.0, 1.0, 0.0)
    shift = math.hypot(place.across - before[0], place.down - before[1])
    scale, turn = place.scale / before[2], place.turn - before[3]
    factor = 1.0 if stored else BOUNDS.unstored
    bounds = factor * np.array([BOUNDS.shift, BOUNDS.scale, BOUNDS.turn])
    beyond = (np.abs([shift, scale - 1.0, turn]) > bounds).any()
    if not beyond or place.score < seen.at_place + BOUNDS.better:
        return [] if seen.at_place > 0.5 * least else [
            Finding("not_found", f"{seen.at_place:.0%} of the arm's edges are where the view says")
        ]  # fmt: skip
    where = (
        f"the arm is {shift * 100.0 / ROWS:.1f} % of the picture's height elsewhere, {scale - 1.0:+.1%} larger and "
        f"turned by {math.degrees(turn):+.1f} degrees; the bounds are {bounds[0] * 100.0 / ROWS:.1f} %, "
        f"{bounds[1]:.1%} and {math.degrees(bounds[2]):.1f}"
    )
    cause = "its lens has another field of view or zoom, or it is nearer or further" if abs(scale - 1.0) > 0.07 else (
        "the camera was moved"
    )  # fmt: skip
    name = "fov" if abs(scale - 1.0) > 0.07 else "moved"
    return [Finding(name, f"{where}: {cause}. Put it back, or find it anew with `policy-port camera solve`")]


_TURNED = {
    "mirrored": "left and right are exchanged, as in a webcam's preview: switch its driver's mirror off",
    "turned_over": "the picture is turned over by 180 degrees: turn the camera, or its driver's rotation off",
    "upside_down": "up and down are exchanged: switch its driver's flip off",
}


def _colours(seen: Seen, stored: Reference | None) -> list[Finding]:
    """Red and blue exchanged: by the colours that were stored, else by the arm's own in the twin."""
    arm = red_blue(arm_chroma(seen.image, seen.mask))
    if stored is None:
        drawn = red_blue(arm_chroma(seen.drawn, seen.mask))
        exchanged, whose = drawn * arm < 0.0 and min(abs(drawn), abs(arm)) > ARM, "of the arm as its file has it"
    else:
        kept, swapped = (apart(chroma(seen.image, seen.mask), arm, stored, sign) for sign in (1.0, -1.0))
        exchanged, whose = swapped < kept - SURE, "of the scene and the arm as they were stored"
    if exchanged:
        return [
            Finding("red_blue", "red and blue are exchanged, by the colours " + whose + ": frames are BGR where RGB is "
                    "wanted")
        ]  # fmt: skip
    return []


def _light(seen: Seen, stored: Reference | None) -> list[Finding]:
    now = brightness(seen.image)
    cut = float((seen.image.max(axis=-1) >= WHITE).mean())
    if stored is None:
        dim, glaring = now[-1] < 40.0, cut > 0.5
        what = "nearly black" if dim else "cut off as white in half of it"
        text = f"the picture is {what}: see to light and exposure"
        return [Finding("exposure", text)] if dim or glaring else []
    before = np.array(stored.brightness)
    usable = (before > 8.0) & (before < BRIGHT) & (now < WHITE)
    gain = float(np.median(now[usable] / before[usable])) if usable.any() else (math.inf if cut > 0.5 else 1.0)
    found = []
    if not BOUNDS.darker < gain < BOUNDS.brighter:
        found.append(
            Finding("exposure", f"the picture is {gain:.2f} times as bright as when it was stored; the bounds are "
                    f"{BOUNDS.darker:g} and {BOUNDS.brighter:g}: another gain or exposure, or other light")
        )  # fmt: skip
    ratios = [now / then for now, then in zip(balance(seen.image), stored.balance, strict=True)]
    if any(not 1.0 / BOUNDS.balance < ratio < BOUNDS.balance for ratio in ratios):
        found.append(
            Finding("white_balance", f"red is {ratios[0]:.2f} and blue {ratios[1]:.2f} times what it was against "
                    f"green; the bound is {BOUNDS.balance:g}: fix the white balance, or light it as before")
        )  # fmt: skip
    return found


def _sharpness(seen: Seen, stored: Reference | None) -> list[Finding]:
    width = edge_width(seen.image)
    most = BOUNDS.widest if stored is None else max(BOUNDS.blur * stored.edge, stored.edge + 1.0)
    if width <= most:
        return []
    return [Finding("focus", f"edges are {width:.1f} pixels of 480 rows wide, the bound is {most:.1f}: focus its lens, "
                    "wipe it, and switch its autofocus off")]  # fmt: skip


def _resized(image: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, view.size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


@contextlib.contextmanager
def drawing(robot: Twin | Path | str) -> Iterator[Twin]:
    """A robot's twin, closed afterwards where it was opened here."""
    twin = robot if isinstance(robot, Twin) else Twin(robot)
    try:
        yield twin
    finally:
        if twin is not robot:
            twin.close()
