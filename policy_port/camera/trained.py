"""Where a policy's camera stood in its training, kept in the contract and held against an environment file later."""

from __future__ import annotations

import math
from collections.abc import Iterable

from policy_port.camera.env_file import EnvFile, LookAt
from policy_port.camera.stills import read_note
from policy_port.camera.view import View
from policy_port.contract.image import ImageInput, SeenFrom
from policy_port.errors import CameraError

PLACE, TURN, LARGER = 0.03, math.radians(3.0), 0.05
"""How far a camera may be from where it was in the training [m, rad], and how much larger it may show things."""


def with_camera(images: Iterable[ImageInput], env: EnvFile) -> tuple[ImageInput, ...]:
    """Images of a contract, the environment file's with where its camera stands."""
    seen = seen_now(env)
    if seen is None:
        return tuple(images)
    return tuple(image.model_copy(update={"seen_from": seen}) if _shows(image, env) else image for image in images)


def seen_now(env: EnvFile) -> SeenFrom | None:
    """Where the camera of an environment file stands, and how it looks; None where nobody can say from the robot."""
    if env.camera is None or (isinstance(env.camera, LookAt) and not env.knows_stand):
        return None
    view = env.drawn_view()
    return SeenFrom(position=view.position, rotation=view.rotation, fov=view.fov)


def another_camera(images: Iterable[ImageInput], env: EnvFile) -> str | None:
    """How the camera of an environment file differs from that of the training; None where it does not, or none is said.

    Args:
        images: Of the policy's contract.
        env: The file, which says of what size the camera's frames are.
    """
    then = next((image.seen_from for image in images if _shows(image, env)), None)
    if then is None or seen_now(env) is None:
        return None
    now = env.drawn_view()
    away, turned, larger = _apart(then, now)
    if away <= PLACE and turned <= TURN and abs(larger) <= LARGER:
        return None
    return (
        f"the policy saw {math.degrees(then.fov):.1f} degrees from top to bottom of its picture, this file's camera "
        f"and crop give {math.degrees(now.fov):.1f}; its camera stood {100.0 * away:.1f} cm from this one, turned by "
        f"{math.degrees(turned):.1f} degrees. The bounds are {LARGER:.0%}, {100.0 * PLACE:.0f} cm and "
        f"{math.degrees(TURN):.0f} degrees: give the file that it was trained with, or train in this one"
    )


def _shows(image: ImageInput, env: EnvFile) -> bool:
    return env.camera_name in (image.cameras or (image.name,))


def check_photographed(env: EnvFile) -> str | None:
    """Hold an environment file's background against the camera and crop with which it was photographed.

    Returns:
        What to look at, where the camera's view has changed since; None where nothing has, or nobody knows.

    Raises:
        CameraError: When it shows more or less than the network's picture.
    """
    file, now = env.background_file, seen_now(env)
    if file is None or now is None:
        return None
    try:
        then = SeenFrom.model_validate_json(read_note(file))
    except ValueError:
        # Another program's picture, or one that it has saved again.
        return None
    away, turned, larger = _apart(then, env.drawn_view())
    if abs(larger) > LARGER:
        raise CameraError(
            f"{file}: was photographed with {math.degrees(then.fov):.1f} degrees from top to bottom, camera and crop "
            f"of the environment file give {math.degrees(env.drawn_view().fov):.1f}: photograph it again with "
            "`policy-port camera background`"
        )
    if away <= PLACE and turned <= TURN:
        return None
    return (
        f"{file} was photographed when the file had the camera {100.0 * away:.1f} cm from where it has it now, turned "
        f"by {math.degrees(turned):.1f} degrees: photograph it again, unless the camera stood still and only its view "
        "was found anew"
    )


def _apart(then: SeenFrom, now: View) -> tuple[float, float, float]:
    """How far a camera stands from where it stood [m], how far it is turned [rad], and by which share it shows more."""
    was = View.at(then.position, then.rotation, fov=then.fov, size=now.size)
    larger = math.tan(0.5 * was.fov) / math.tan(0.5 * now.fov) - 1.0
    return math.dist(was.position, now.position), was.angle_to(now), larger
