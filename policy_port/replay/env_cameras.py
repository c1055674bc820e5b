"""What a ManiSkill environment shows beside its state: which of its cameras is which image of a contract."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.contract.image import ImageInput
from policy_port.contract.spec import Contract
from policy_port.errors import TaskError, closest
from policy_port.port.runtime import Policy
from policy_port.tasks import env_state

FLAT = "rgb"
"""What ManiSkill's scripts call the colour images of all cameras, laid one behind the other in the environment's
order by FlattenRGBDObservationWrapper."""

COLOURS = 3
"""Channels of a camera."""

FIRST_FRAMES = "first_frames.png"
"""What the cameras showed the policy at the start of the first episode: red and blue exchanged, or a camera upside
down, is seen by a person only."""

UNITS = {
    "image_hash": "8-byte BLAKE2b of the frame's bytes, cameras in the order of the header's images",
    "image_mean": "mean red, green and blue of the frame, 0 to 255, cameras in the order of the header's images",
}
"""What is recorded of the frames."""


def observation_mode(env_id: str, supported: Sequence[str], contract: Contract) -> str:
    """The observation mode that shows what the contract reads.

    Args:
        env_id: The environment, for the message.
        supported: The environment's `SUPPORTED_OBS_MODES`.
        contract: The policy's contract.

    Raises:
        TaskError: When it shows no colour.
    """
    if not contract.images:
        return "state"
    if FLAT in supported or "any_textures" in supported:
        return FLAT
    # Digital twins paint a photograph behind the robot, for which they need the segmentation.
    overlaid = f"{FLAT}+segmentation"
    if overlaid in supported:
        return overlaid
    raise TaskError(
        f"{env_id}: shows no camera images (its observation modes are {', '.join(supported)}), contract "
        f"'{contract.name}' reads {', '.join(image.name for image in contract.images)}. Play the environment that the "
        "policy was trained in"
    )


class EnvCameras:
    """The cameras of an open environment that a contract reads."""

    def __init__(self, env_id: str, env: Any, contract: Contract) -> None:
        """Match cameras by name.

        Raises:
            TaskError: When the environment lacks a camera, has them in another order, or says not which is which.
        """
        self._where = f"{env_id}: contract '{contract.name}'"
        # An environment without a renderer has no such attribute.
        present = env._sensor_configs if contract.images else {}
        self._present = tuple(present)
        self.own_sizes = {name: (config.height, config.width) for name, config in present.items()}
        """Height and width of the environment's cameras as they are now."""
        self.images: dict[str, ImageInput] = {}
        """The image that each camera belongs to, by the policy's name of the camera."""
        self.cameras: dict[str, str] = {}
        """The environment's name of each camera, by the policy's name."""
        for image in contract.images:
            for name, camera in zip(image.cameras or (image.name,), self._find(image), strict=True):
                self.images[name], self.cameras[name] = image, camera

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Height and width that the contract asks of the environment's cameras."""
        return {self.cameras[name]: image.frame_size for name, image in self.images.items()}

    def options(self) -> dict[str, dict[str, int]] | None:
        """`sensor_configs` that open the environment with the contract's sizes; None where it has them already."""
        if all(self.own_sizes[camera] == size for camera, size in self.sizes.items()):
            return None
        return {camera: {"height": height, "width": width} for camera, (height, width) in self.sizes.items()}

    def show(self, observation: dict[str, Any], policy: Policy) -> dict[str, NDArray[Any]]:
        """Show the policy the frames of an observation.

        Returns:
            What is worth recording of them: see `UNITS`. Shapes (num_envs, cameras) and (num_envs, cameras, 3).

        Raises:
            FrameError: When a frame is not what the contract says.
            TaskError: When a camera shows no colour.
        """
        hashes, means = [], []
        for name, camera in self.cameras.items():
            frames = self.frames(observation, camera)
            policy.images[name].show(frames)
            hashes.append([int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8).digest()) for row in frames])
            means.append(frames.mean(axis=(1, 2), dtype=np.float32))
        return {"image_hash": np.array(hashes, np.uint64).T, "image_mean": np.stack(means, axis=1)}

    def frames(self, observation: dict[str, Any], camera: str) -> NDArray[np.uint8]:
        """The colour images of a camera, shape (num_envs, height, width, 3)."""
        shown = observation["sensor_data"][camera]
        if FLAT not in shown:
            raise TaskError(f"{self._where} reads camera '{camera}', which shows {', '.join(shown)} and no colour")
        return np.asarray(shown[FLAT].cpu())

    def header(self) -> list[dict[str, Any]]:
        """What a trace says of the cameras, in the order of the recorded arrays."""
        return [
            {
                "camera": camera,
                "image": self.images[name].name,
                "frame": [*self.sizes[camera], COLOURS],
                "environments_own_size": list(self.own_sizes[camera]),
                "stored": "a hash and the mean colour of each frame; the frames are not in the trace",
            }
            for name, camera in self.cameras.items()
        ]

    def _find(self, image: ImageInput) -> tuple[str, ...]:
        """Names of the environment's cameras that make up an image."""
        there = f"The environment's cameras are {', '.join(self._present) or 'none'}, in this order"
        reads = f"{self._where} reads image '{image.name}' with {image.channels} channels"
        if image.cameras:
            wanted = image.cameras
        elif image.name in self._present:
            wanted = (image.name,)
        elif image.name == FLAT and len(self._present) == 1:
            wanted = self._present
        else:
            raise TaskError(
                f"{reads} and does not say which cameras that is. {there}. Write "
                f"cameras: [{', '.join(self._present)}] under the image, as trained, and export again"
            )
        for name in wanted:
            if name not in self._present:
                raise TaskError(f"{reads} from camera '{name}'{closest(name, self._present) or '.'} {there}")
        if image.channels != COLOURS * len(wanted):
            raise TaskError(f"{reads}, which {', '.join(wanted)} with {COLOURS} colours each do not make. {there}")
        if image.name == FLAT and list(wanted) != [name for name in self._present if name in wanted]:
            raise TaskError(
                f"{reads} from {', '.join(wanted)}. {there}, in which ManiSkill lays them one behind the other; a "
                "policy trained on the other order would not notice. Correct the image's cameras and export again"
            )
        return wanted


def flat_state(observation: Any, device: Any) -> Any:
    """The numbers of an observation, shape (num_envs, size), as FlattenRGBDObservationWrapper lays them out."""
    if not isinstance(observation, dict):
        return observation
    from mani_skill.utils import common

    rest = {name: value for name, value in observation.items() if name not in env_state.SENSED}
    return common.flatten_state_dict(rest, use_torch=True, device=device)
