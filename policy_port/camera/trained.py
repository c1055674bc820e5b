"""Where a policy's camera stood in its training, kept in the contract and held against an environment file later."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from policy_port.camera.env_file import EnvFile
from policy_port.camera.view import View
from policy_port.contract.image import ImageInput, SeenFrom

PLACE, TURN, LARGER = 0.03, math.radians(3.0), 0.05
"""How far a camera may be from where it was in the training [m, rad], and how much larger it may show things."""


def with_camera(images: Iterable[ImageInput], env: EnvFile) -> tuple[ImageInput, ...]:
    """Images of a contract, the environment file's with where its camera stands."""
    if env.camera is None:
        return tuple(images)
    view = env.drawn_view()
    seen = SeenFrom(position=view.position, rotation=view.rotation, fov=view.fov)
    return tuple(image.model_copy(update={"seen_from": seen}) if _shows(image, env) else image for image in images)


def another_camera(images: Iterable[ImageInput], env: EnvFile) -> str | None:
    """How the camera of an environment file differs from that of the training; None where it does not, or none is said.

    Args:
        images: Of the policy's contract.
        env: The file, which says of what size the camera's frames are.
    """
    then = next((image.seen_from for image in images if _shows(image, env)), None)
    if then is None or env.camera is None:
        return None
    now = env.drawn_view()
    was = View.at(then.position, then.rotation, fov=then.fov, size=now.size)
    away, turned = math.dist(was.position, now.position), was.angle_to(now)
    larger = math.tan(0.5 * was.fov) / math.tan(0.5 * now.fov) - 1.0
    if (np.abs([away, turned, larger]) <= (PLACE, TURN, LARGER)).all():
        return None
    return (
        f"the policy saw {math.degrees(was.fov):.1f} degrees from top to bottom of its picture, this file's camera and "
        f"crop give {math.degrees(now.fov):.1f}; its camera stood {100.0 * away:.1f} cm from this one, turned by "
        f"{math.degrees(turned):.1f} degrees. The bounds are {LARGER:.0%}, {100.0 * PLACE:.0f} cm and "
        f"{math.degrees(TURN):.0f} degrees: give the file that it was trained with, or train in this one"
    )


def _shows(image: ImageInput, env: EnvFile) -> bool:
    return env.camera_name in (image.cameras or (image.name,))
