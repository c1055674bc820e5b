"""A ManiSkill environment as an environment file says it: what its options can say, and what they can't."""

from __future__ import annotations

import inspect
import math
from typing import Any

from policy_port.camera.env_config import ROLL
from policy_port.camera.env_file import EnvFile, LookAt
from policy_port.camera.trained import check_photographed
from policy_port.camera.view import View, quat_of
from policy_port.errors import CameraError, closest
from policy_port.replay.open_env import open_env, registered

GIVEN_BY = {
    "spawn_box": "spawn_box_pos",
    "background": "greenscreen_overlay_path",
    "randomise": "domain_randomization",
    "randomisation": "domain_randomization_config",
}
"""What the environment file says, and the option of ManiSkill's environments that takes it."""


def make_options(given: EnvFile) -> dict[str, Any]:
    """What `gymnasium.make` gets; `open_scene` does what no option says.

    Raises:
        CameraError: When the environment has no option for something that the file says.
        TaskError: When there is no such environment.
        MissingDependencyError: When ManiSkill is not here.
    """
    taken = _taken(registered(given.env))
    for key, option in GIVEN_BY.items():
        if getattr(given, key) not in (None, "") and option not in taken:
            raise CameraError(f"{given.env} has no option {option}: leave {key} out of the environment file")
    found: dict[str, Any] = dict(given.options)
    if (file := given.background_file) is not None:
        check_background(given)
        found["greenscreen_overlay_path"] = str(file)
    if given.spawn_box is not None:
        found |= {"spawn_box_pos": list(given.spawn_box.pos), "spawn_box_half_size": given.spawn_box.half_size}
    if given.randomise is not None:
        found["domain_randomization"] = given.randomise
    if given.randomisation is not None:
        # A dataclass in its place would be ignored.
        found["domain_randomization_config"] = dict(given.randomisation)
    sensor: dict[str, Any] = {}
    if given.camera is not None and "base_camera_settings" in taken:
        found["base_camera_settings"] = given.settings()
    elif given.camera is not None:
        sensor |= _sensor(given)
    if given.image is not None:
        sensor |= {"height": given.image.size[0], "width": given.image.size[1]}
    if sensor:
        others = dict(found.get("sensor_configs", {}))
        found["sensor_configs"] = others | {given.camera_name: dict(others.get(given.camera_name, {})) | sensor}
    return found


def open_scene(given: EnvFile, *, control_mode: str | None = None, **options: Any) -> Any:
    """The environment with the file's camera, as `gymnasium.make` wraps it.

    Args:
        given: The environment file.
        control_mode: One of its controllers; its own default, if None.
        **options: More options, which go before the file's: `obs_mode`, `num_envs`, `sensor_configs`.

    Raises:
        CameraError: When the environment has no such camera, or no option for something that the file says.
        TaskError: When there is no such environment.
        MissingDependencyError: When ManiSkill can't start here.
    """
    made_with = {"obs_mode": colour_mode(given.env), "num_envs": 1, "sim_backend": "physx_cpu"}
    made_with |= make_options(given) | options
    check_camera_name(given)
    made = open_env(given.env, control_mode=control_mode, draws=True, **made_with)
    try:
        arrange(made.unwrapped, given)
    except BaseException:
        made.close()
        raise
    return made


def arrange(base: Any, given: EnvFile) -> None:
    """Do what no option of an environment says: its camera's roll, and a background that stays its own.

    Args:
        base: The environment without its wrappers; reset it afterwards.
        given: The environment file.

    Raises:
        CameraError: When the environment has no such camera, or can't turn it.
    """
    cameras = list(base._sensor_configs)
    if given.camera_name not in cameras:
        raise CameraError(
            f"{given.env} has no camera '{given.camera_name}'{closest(given.camera_name, cameras) or '.'} It has "
            f"{', '.join(cameras) or 'none, and no policy that sees can be trained in it'}"
        )
    if isinstance(getattr(base, "_rgb_overlay_images", None), dict):
        # The dictionary is the class's: another environment's background would replace this one's.
        base._rgb_overlay_images = dict(base._rgb_overlay_images)
    if "base_camera_settings" not in _taken(type(base)) or abs(given.roll) < ROLL:
        return
    if not hasattr(base, "sample_camera_poses"):
        raise CameraError(f"{given.env} can't turn its camera about its line of sight, which the view asks for")
    import sapien

    level, half = base.sample_camera_poses, 0.5 * given.roll
    turned = sapien.Pose(q=[math.cos(half), math.sin(half), 0.0, 0.0])

    def sample(n: int) -> Any:
        return level(n) * turned

    base.sample_camera_poses = sample


def check_background(given: EnvFile) -> None:
    """Refuse a background of another size than the network's picture, which ManiSkill would stretch, or another crop.

    Raises:
        CameraError: When it has another size, shows more or less of the scene, or is no picture.
    """
    from policy_port.camera.stills import read_still

    file = given.background_file
    if file is None or given.image is None:
        return
    size, has = given.image.size, read_still(file).shape[:2]
    if has != size:
        why = "; it is the camera's whole frame" if has == given.image.camera_size else ""
        raise CameraError(
            f"{file}: the background is {has[1]}x{has[0]}, the network's picture {size[1]}x{size[0]}{why}. Make it "
            "with `policy-port camera background`, which crops and resizes as the arm does"
        )
    check_photographed(given)


def colour_mode(env_id: str) -> str:
    """The observation mode in which an environment shows colours and which pixel is what.

    Raises:
        CameraError: When it has none.
    """
    supported = registered(env_id).SUPPORTED_OBS_MODES
    if "rgb+segmentation" in supported or "any_textures" in supported or "rgb" in supported:
        return "rgb+segmentation"
    raise CameraError(
        f"{env_id}: shows no camera images (its observation modes are {', '.join(supported)}); name an environment "
        "with a camera, such as SO100GraspCube-v1"
    )


def stand_of(base: Any) -> tuple[Any, Any]:
    """Where the robot of an open environment stands: position (3,) [m] and rotation wxyz (4,)."""
    pose = base.agent.robot.pose
    return pose.p[0].cpu().numpy().astype(float), pose.q[0].cpu().numpy().astype(float)


def sensor_view(base: Any, camera: str) -> View:
    """Where a camera of an open environment stands now, in the robot's base frame; randomised, it moves each step."""
    parameters = base.scene.sensors[camera].get_params()
    # `set_fovy` leaves the sensor's own matrix behind, so that the camera itself is asked.
    rendering = base.scene.sensors[camera].camera
    pose = parameters["cam2world_gl"][0].cpu().numpy().astype(float)
    config = base.scene.sensors[camera].config
    looking = pose[:3, :3] @ [[0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]]
    fov = float(rendering._render_cameras[0].fovy)
    seen = View.at(pose[:3, 3], quat_of(looking), fov=fov, size=(config.height, config.width))
    return seen.from_frame(*stand_of(base))


def _sensor(given: EnvFile) -> dict[str, Any]:
    """The camera as an option of a sensor of its own, in the environment's frame."""
    if isinstance(given.camera, LookAt):
        seen = View.looking_at(given.camera.pos, given.camera.target, fov=given.camera.fov, size=(8, 8))
    else:
        seen = given.drawn_view().in_frame(*given.stand)
        given.settings()
    return {"pose": [*seen.position, *seen.rotation], "fov": seen.fov}


def check_camera_name(given: EnvFile) -> None:
    """Refuse options for a camera by a name that ManiSkill would take for an attribute of every camera."""
    if not given.camera_name.isidentifier():
        raise CameraError(f"camera_name '{given.camera_name}' is no name of a camera; base_camera is ManiSkill's")


def _taken(kind: Any) -> set[str]:
    """Names of an environment's own options, those of its bases included."""
    return {name for base in kind.__mro__ if "__init__" in vars(base) for name in inspect.signature(base).parameters}
