"""The background that a policy is trained in front of: a still of the scene, made into the network's picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.camera.check import drawing, look, placed
from policy_port.camera.picture import NetworkPicture
from policy_port.camera.reference import balance, brightness
from policy_port.camera.render import Twin
from policy_port.camera.stills import Frame, median
from policy_port.camera.view import View
from policy_port.errors import CameraError

MOVED = 20.0
"""By how many grey levels a part of a frame differs that something moved through."""
SHARE = 0.002
"""Share of the picture that may."""
FLICKER = 0.08
"""Share by which frames may be brighter or darker than all of them."""
ARM = 0.2
"""Share of an arm's edges that says it is there; elsewhere about a tenth is found by chance."""
AROUND = 0.02
"""How much wider than the arm is filled in, of the picture's height: its rim, and what the view is off by."""
BRIGHTER, REDDER = 2.0, 1.5
"""Factors by which brightness and colour may differ from the environment's."""


@dataclass(frozen=True)
class Background:
    """What was made."""

    image: NDArray[np.uint8]
    """The network's picture, RGB."""
    frame: NDArray[np.uint8]
    """The camera's whole frame that it was made of, RGB, its lens not undone."""
    notes: tuple[str, ...]
    """What a person should know of it."""


@dataclass(frozen=True)
class ArmThere:
    """An arm that may be in the picture."""

    view: View
    """Of the whole frames."""
    joint_pos: Mapping[str, float]
    """By name [rad or m]."""
    robot: Twin | Path | str
    """The robot file or name."""


def make_background(
    frames: Sequence[Frame], picture: NetworkPicture, arm: ArmThere | None, *, inpaint: bool = False
) -> Background:
    """The background of frames of a scene in which nothing moves.

    Args:
        frames: Whole frames, one after the other.
        picture: How the camera's frames become the network's picture.
        arm: The arm, where its camera's view and its joints are known.
        inpaint: Fill in what the arm covers.

    Raises:
        CameraError: When something moves, the light flickers, frames are of another size, or the arm is to be filled
            in and is not there.
    """
    images = [frame.image for frame in frames]
    for image in images:
        if image.shape[:2] != picture.spec.frame_size:
            rows, columns = picture.spec.frame_size
            already = "; it is cropped and resized already" if image.shape[:2] == picture.size else ""
            raise CameraError(
                f"the frames are {image.shape[1]}x{image.shape[0]}, the camera's are {columns}x{rows}{already}: give "
                "its whole frames"
            )
    notes = [] if len(images) > 1 else ["one still does not tell whether something moves"]
    _refuse_moving(images)
    frame = median(images)
    still = picture.straight(frame)
    if arm is None:
        if inpaint:
            raise CameraError(
                "--inpaint fills in what the arm covers, which takes --robot and an environment file with a camera"
            )
        notes.append("whether the arm is in the picture was not looked at: that takes --robot and a camera's view")
    else:
        still, said = _without_arm(frame, still, arm, inpaint=inpaint)
        notes += said
    # The lens is undone already.
    return Background(NetworkPicture(picture.spec)(still), frame, tuple(notes))


def compare(image: NDArray[np.uint8], drawn: NDArray[np.uint8]) -> list[str]:
    """Where a background's brightness and colour are far from those of the environment's own picture.

    Args:
        image: The background, RGB.
        drawn: The environment's picture without a background, RGB.

    Raises:
        CameraError: When their sizes differ.
    """
    if image.shape != drawn.shape:
        raise CameraError(
            f"the background is {image.shape[1]}x{image.shape[0]}, the environment's picture "
            f"{drawn.shape[1]}x{drawn.shape[0]}: write image.size into the environment file"
        )
    notes = []
    mine, theirs = (float(np.median(brightness(item))) for item in (image, drawn))
    if not 1.0 / BRIGHTER < (mine + 5.0) / (theirs + 5.0) < BRIGHTER:
        notes.append(
            f"its brightness is {mine:.0f} of 255, the environment's {theirs:.0f}: robot and objects are drawn in "
            "another light than the scene's; see to exposure, or randomise the light"
        )
    if (cut := float((image.max(axis=-1) >= 250).mean())) > 0.2:
        notes.append(f"{cut:.0%} of it is cut off as white: lower the exposure")
    (red, blue), (their_red, their_blue) = balance(image), balance(drawn)
    if not all(1.0 / REDDER < one / other < REDDER for one, other in ((red, their_red), (blue, their_blue))):
        notes.append(
            f"red is {red:.2f} and blue {blue:.2f} times green, in the environment {their_red:.2f} and "
            f"{their_blue:.2f}: look whether red and blue are exchanged, and fix the white balance"
        )
    return notes


def _refuse_moving(images: Sequence[NDArray[np.uint8]]) -> None:
    if len(images) == 1:
        return
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in images]
    usual = np.median(np.stack(grey), axis=0)
    for index, image in enumerate(grey):
        bright = float(image.mean() / max(usual.mean(), 1.0))
        if abs(bright - 1.0) > FLICKER:
            raise CameraError(
                f"frame {index + 1} of {len(grey)} is {bright - 1.0:+.0%} as bright as the others: the exposure has "
                "not settled, or a lamp flickers; fix the exposure"
            )
        differs = cv2.blur(np.abs(image / bright - usual), (5, 5)) > MOVED
        if differs.mean() > SHARE:
            raise CameraError(
                f"something moves: {differs.mean():.1%} of frame {index + 1} of {len(grey)} differs from the others; "
                f"the bound is {SHARE:.1%}. Keep out of the picture, and photograph it again"
            )


def _without_arm(
    frame: NDArray[np.uint8], still: NDArray[np.uint8], arm: ArmThere, *, inpaint: bool
) -> tuple[NDArray[np.uint8], list[str]]:
    view = arm.view.resized((frame.shape[0], frame.shape[1]))
    with drawing(arm.robot) as twin:
        mask = twin.render(view.straight, arm.joint_pos).mask
        seen = look([Frame(frame, 0.0)], view, arm.joint_pos, twin) if mask.any() else None
    astray = [] if seen is None else [item for item in placed(seen, None) if item.name != "not_found"]
    if seen is None or astray or seen.at_place < ARM:
        if inpaint:
            raise CameraError(
                "the arm is not where its view and its joints say, and what it covers can't be filled in. Leave "
                "--inpaint out if it is not in the picture; else `policy-port camera solve` finds the view"
            )
        return still, [
            f"the arm is in the picture, and not where its view says: {item.name}: {item.text}" for item in astray
        ]
    share = f"the arm covers {mask.mean():.1%} of the picture"
    if not inpaint:
        return still, [
            f"{share}, and the policy would be trained in front of it: take it out of the picture, or --inpaint"
        ]
    wide = 2 * round(AROUND * still.shape[0]) + 1
    wider = cv2.dilate(mask.astype(np.uint8), np.ones((wide, wide)))
    filled = cv2.inpaint(still, wider, 3, cv2.INPAINT_TELEA)
    return np.asarray(filled, np.uint8), [f"{share} and was filled in; look whether its shadow is left"]
