"""env.yaml: an environment, its camera, and what it is trained with; lerobot-sim2real's `env_config.json` is read too.

Poses under `camera` are the environment's (`pos`, `target`) or the robot's base frame (a view, as `camera solve` writes
it). A pos-target camera's `fov` is that of the picture that the network sees; a view's is that of the whole frame.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from pydantic import Discriminator, Field, PrivateAttr, Tag, model_validator

from policy_port.camera.amended import amended
from policy_port.camera.env_config import OPTIONS, SAID, THEIRS, as_ours, read_document, written
from policy_port.camera.picture import OFF_MIDDLE, NetworkPicture, Resizing, middle, picture_spec, picture_view
from policy_port.camera.view import (
    Fov,
    Position,
    Quaternion,
    Vector,
    View,
    ViewFields,
    ViewFile,
    load_view,
    view_fields,
)
from policy_port.contract.image import Crop, Side
from policy_port.contract.yaml_file import Strict, YamlDocument, parse, read_yaml
from policy_port.errors import CameraError, closest
from policy_port.files import write_atomic

UPRIGHT = 0.5**0.5
STANDS = {
    "SO100GraspCube-v1": ((0.0, 0.0, 0.0), (UPRIGHT, 0.0, 0.0, UPRIGHT)),
    "PolicyPortSO100Reach-v1": ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)),
    "PolicyPortSO100ReachBall-v1": ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)),
}
"""Where the robot's base stands in environments that are known: position [m] and rotation wxyz."""
SIZES = {"SO100GraspCube-v1": (128, 128)}
"""Rows and columns of the pictures of environments that are known."""
RANDOMISED = {
    "SO100GraspCube-v1": (
        *("initial_qpos_noise_scale", "robot_color", "randomize_lighting", "max_camera_offset", "camera_target_noise"),
        *("camera_view_rot_noise", "camera_fov_noise", "cube_half_size_range", "cube_friction_mean"),
        *("cube_friction_std", "cube_friction_bounds", "randomize_cube_color"),
    )
}
"""What environments that are known can randomise."""
ANGLES = ("camera_fov_noise", "camera_view_rot_noise")
"""Parts of `randomisation` that are angles [rad]."""


class LookAt(Strict):
    """A camera that looks at a point, in the environment's frame, as ManiSkill and lerobot-sim2real say it."""

    pos: Position
    """Where it is [m]."""
    target: Position
    """What stands in the middle of its picture [m]."""
    fov: Fov
    """From the upper edge of the network's picture to the lower [rad]."""

    @model_validator(mode="after")
    def _looks_somewhere(self) -> LookAt:
        if math.dist(self.pos, self.target) < 1e-6:
            raise ValueError(f"pos and target are both {list(self.pos)}; the target is what it looks at")
        return self


class SpawnBox(Strict):
    """Where the environment puts its objects."""

    pos: tuple[float, float]
    """Its middle, as the environment counts it [m]."""
    half_size: Annotated[float, Field(gt=0.0, le=1.0)]
    """From its middle to its edges [m]."""


class Stand(Strict):
    """Where the robot's base stands in the environment."""

    position: Position
    """[m]"""
    rotation: Quaternion
    """wxyz"""


class ImageFields(Strict):
    """How the camera's frame becomes the picture that the network sees."""

    size: tuple[Side, Side]
    """Rows and columns of the picture."""
    camera_size: tuple[Side, Side] | None = None
    """Rows and columns of the real camera's frames."""
    crop: Crop | None = None
    """What is kept of them: top, left, height, width; the largest middle part of the picture's proportions, if not
    given."""
    resize: Resizing = "area"
    """area: the mean of what each pixel covers; linear: as ManiSkill's Sim2RealEnv."""


def _form(data: Any) -> str:
    # `uncertainty` and the like belong to a view, and `position` is no spelling of `pos`.
    keys = (
        set(data) if isinstance(data, Mapping) else set(type(data).model_fields) if isinstance(data, Strict) else set()
    )
    return "view" if keys & (set(ViewFile.model_fields) - set(LookAt.model_fields)) else "look_at"


Camera = Annotated[Annotated[LookAt, Tag("look_at")] | Annotated[ViewFile, Tag("view")], Discriminator(_form)]


class EnvFile(Strict):
    """An environment and its camera, for training and for the arm."""

    env: str
    """Name under which the environment is registered."""
    camera: Camera | None = None
    """Where its camera stands; in the file also the view.yaml that says it; the environment's own, if not given."""
    camera_name: str = "base_camera"
    """The environment's name of it, and the robot file's."""
    robot_pose: Stand | None = None
    """Where the robot's base stands in the environment; known of the environments in `STANDS`."""
    spawn_box: SpawnBox | None = None
    """Where objects are put; the environment's own, if not given."""
    background: str | None = None
    """A picture that is shown wherever neither robot nor objects are; relative to this file."""
    randomise: bool | None = None
    """Whether the environment randomises at all; its own default, if not given."""
    randomisation: dict[str, Any] | None = None
    """What it randomises, and how much, by the environment's own names."""
    image: ImageFields | None = None
    """The network's picture; the environment's own size, if not given."""
    options: dict[str, Any] = {}
    """More options of the environment."""
    _folder: Path = PrivateAttr(default=Path())
    _theirs: dict[str, Any] = PrivateAttr(default={})

    @model_validator(mode="after")
    def _is_possible(self) -> EnvFile:
        for key in self.options:
            if key in THEIRS or key not in OPTIONS:
                hint = f": write {THEIRS[key]}" if key in THEIRS else closest(key, OPTIONS)
                raise ValueError(f"options: unknown option '{key}'{hint}; possible: {', '.join(OPTIONS)}")
        given, known = self.randomisation or {}, RANDOMISED.get(self.env)
        for key, value in given.items():
            if known is not None and key not in known:
                raise ValueError(
                    f"randomisation: {self.env} does not randomise '{key}'{closest(key, known).rstrip('?')}; it "
                    f"randomises {', '.join(known)}"
                )
            if key in ANGLES and isinstance(value, int | float) and abs(value) > 0.5:
                raise ValueError(f"randomisation: {key} {value:g} is in degrees? It is in radians")
        if self.randomisation and self.randomise is False:
            raise ValueError("randomisation is given and randomise is false; leave one out")
        if self.image is not None and self.image.camera_size is not None:
            try:
                self.spec()
            except CameraError as cause:
                raise ValueError(f"image: {cause}") from None
        return self

    @property
    def knows_stand(self) -> bool:
        """Whether `stand` is known."""
        return self.robot_pose is not None or self.env in STANDS

    @property
    def stand(self) -> tuple[Vector, Quaternion]:
        """Where the robot's base stands in the environment: position [m], rotation wxyz.

        Raises:
            CameraError: When neither the file nor this package knows.
        """
        if self.robot_pose is not None:
            return self.robot_pose.position, self.robot_pose.rotation
        if self.env not in STANDS:
            raise CameraError(
                f"where the robot stands in {self.env} is not known: write robot_pose: {{position: [x, y, z], "
                "rotation: [w, x, y, z]} into the environment file; `policy-port camera resets` prints it"
            )
        return STANDS[self.env]

    def drawn_view(self) -> View:
        """The camera of the network's picture, which is what the simulation draws, in the robot's base frame.

        Raises:
            CameraError: When the file has no camera or no image size, or the simulation can't draw its picture.
        """
        if isinstance(self.camera, LookAt):
            look = self.camera
            seen = View.looking_at(look.pos, look.target, fov=look.fov, size=self._image.size)
            return seen.from_frame(*self.stand)
        view = self.frame_view()
        return picture_view(view, self.spec(view.size).kept, self._image.size)

    def frame_view(self) -> View:
        """The camera of the whole frames, in the robot's base frame.

        Raises:
            CameraError: When the file has no camera, or does not say of what size its frames are.
        """
        if self.camera is None:
            raise CameraError(f"the environment file of {self.env} has no camera: write pos, target and fov under it")
        if isinstance(self.camera, ViewFields):
            return self.camera.view
        size = self._image.camera_size or self._image.size
        top, _, height, _ = self._whole_or_crop(size)
        seen = self.drawn_view()
        middle_row = top + 0.5 * (height - size[0])
        if abs(middle_row) > OFF_MIDDLE:
            raise CameraError(f"image.crop of the environment file is not around the middle of {size[0]} rows")
        return replace(seen, fov=2.0 * math.atan(math.tan(0.5 * seen.fov) * size[0] / height), size=size)

    def with_view(self, view: View | ViewFile) -> EnvFile:
        """The file with another camera: a view of the whole frames, in the robot's base frame."""
        fields = view.model_dump() if isinstance(view, ViewFile) else view_fields(view)
        return self._changed(camera=ViewFile.model_validate(fields))

    def with_look_at(self, pos: Vector, target: Vector, fov: float) -> EnvFile:
        """The file with a camera that looks at a point; see `LookAt`."""
        return self._changed(camera=LookAt(pos=pos, target=target, fov=fov))

    def with_image(self, **fields: Any) -> EnvFile:
        """The file with other fields of `image`."""
        before = {} if self.image is None and "size" in fields else self._image.model_dump()
        return self._changed(image=ImageFields.model_validate(before | fields))

    def spec(self, camera_size: tuple[int, int] | None = None) -> Any:
        """Crop and size of the network's picture, an `ImageInput`.

        Args:
            camera_size: Rows and columns of the camera's frames, where the file does not say.

        Raises:
            CameraError: When the file says another size, or nobody says one.
        """
        image = self._image
        said = image.camera_size
        if said and camera_size and said != camera_size:
            raise CameraError(
                f"camera '{self.camera_name}' gives {camera_size[1]}x{camera_size[0]}, the environment file's "
                f"image.camera_size says {said[1]}x{said[0]} (in the file rows first)"
            )
        size = camera_size or said
        if size is None and isinstance(self.camera, ViewFields):
            size = self.camera.size
        size = size or image.size
        crop = image.crop or middle(size, image.size)
        return picture_spec(self.camera_name, size=image.size, camera_size=size, crop=crop, resize=image.resize)

    def picture(self, camera_size: tuple[int, int] | None = None) -> NetworkPicture:
        """The function from the camera's frame to the network's picture; see `spec`."""
        view = self.camera.view if isinstance(self.camera, ViewFields) else None
        return NetworkPicture(self.spec(camera_size), view)

    @property
    def _image(self) -> ImageFields:
        if self.image is None and self.env in SIZES:
            return ImageFields(size=SIZES[self.env])
        if self.image is None:
            raise CameraError(
                "the environment file does not say how large the network's picture is: write "
                "image: {size: [128, 128], camera_size: [480, 640]}"
            )
        return self.image

    def _whole_or_crop(self, size: tuple[int, int]) -> Crop:
        return self.spec(size).crop or (0, 0, *size)

    @property
    def background_file(self) -> Path | None:
        """The background, found from this file's folder.

        Raises:
            CameraError: When it is not there.
        """
        if not self.background:
            return None
        path = self._folder / self.background
        if not path.is_file():
            raise CameraError(
                f"{path}: the background of the environment file is not there; `policy-port camera background --out "
                f"{self.background}` makes it"
            )
        return path

    def settings(self) -> dict[str, Any]:
        """`base_camera_settings`: the camera in the environment's frame, without roll.

        Raises:
            CameraError: As `drawn_view`.
        """
        if isinstance(self.camera, LookAt):
            return {key: list(value) if key != "fov" else value for key, value in self.camera.model_dump().items()}
        seen = self.drawn_view().in_frame(*self.stand)
        if max(map(abs, seen.principal)) > 1e-6:
            raise CameraError(
                f"camera '{self.camera_name}': the crop {list(self._whole_or_crop(self.frame_view().size))} is not "
                "around the middle of the frame, where a simulated camera looks; leave image.crop out"
            )
        return {"pos": list(seen.position), "target": looked_at(seen), "fov": seen.fov}

    @property
    def roll(self) -> float:
        """Turn of the simulated camera about its line of sight [rad], which `base_camera_settings` can't say."""
        if not isinstance(self.camera, ViewFields):
            return 0.0
        seen = self.drawn_view().in_frame(*self.stand)
        return seen.roll_to(looked_at(seen))

    @property
    def document(self) -> dict[str, Any]:
        """What an env.yaml says of it."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def text(self) -> str:
        """The text of an env.yaml."""
        return yaml.safe_dump(self.document, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)

    def env_config(self) -> dict[str, Any]:
        """The same as lerobot-sim2real's `env_config.json` says it.

        Raises:
            CameraError: When that can't say it.
        """
        return written(self, self._theirs)

    def write(self, path: Path) -> None:
        """Write env.yaml, or env_config.json where the name ends so; of an env.yaml that is there the comments stay."""
        if path.suffix == ".json":
            write_atomic(path, json.dumps(self.env_config(), indent=4) + "\n")
        else:
            write_atomic(path, self._amended(path) or self.text())

    def _amended(self, path: Path) -> str | None:
        """The text of a file that is there, changed to say the same as this one."""
        try:
            text = path.read_bytes().decode()
            changed = amended(text, _loaded(path, read_document(path), None).document, self.document)
            made = None if changed is None else read_yaml(path, CameraError, changed.encode())
            return changed if made and _loaded(path, made, None).document == self.document else None
        except (OSError, ValueError, CameraError):
            return None

    def _changed(self, **fields: Any) -> EnvFile:
        changed = EnvFile.model_validate({name: getattr(self, name) for name in type(self).model_fields} | fields)
        changed._folder, changed._theirs = self._folder, self._theirs
        return changed


def looked_at(view: View) -> list[float]:
    """A point that a view looks at: on the table (z = 0) where that is within a metre, else 0.4 m away [m]."""
    position, forward = np.array(view.position), view.forward
    distance = -position[2] / forward[2] if abs(forward[2]) > 1e-6 else 0.0
    return (position + forward * (distance if 0.05 < distance < 1.0 else 0.4)).tolist()


def load_env_file(path: Path | str, env: str | None = None) -> EnvFile:
    """Read an env.yaml or an env_config.json.

    Args:
        path: The file; JSON is told by its first character.
        env: The environment, which env_config.json does not name.

    Raises:
        CameraError: With file, line and key, where it is malformed, says what can't be, or names another environment.
    """
    return _loaded(Path(path), read_document(Path(path)), env)


def _loaded(path: Path, document: YamlDocument, env: str | None) -> EnvFile:
    theirs: dict[str, Any] = {}
    if path.suffix == ".json" or set(document.data) & set(THEIRS):
        theirs = document.data
        document = YamlDocument(path=path, data=as_ours(path, document, env), root=document.root, said=SAID)
    elif env is not None and document.data.setdefault("env", env) != env:
        raise CameraError(
            f"{path}:{document.line(('env',))}: is of {document.data['env']}, --env says {env}; leave --env out"
        )
    if isinstance(named := document.data.get("camera"), str):
        document.data["camera"] = load_view(path.parent / named).model_dump()
    parsed = parse(EnvFile, document, CameraError)
    parsed._folder, parsed._theirs = path.parent, theirs
    return parsed
