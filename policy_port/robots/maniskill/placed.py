"""A policy's camera as its environment file has it: checked before the arm moves, and where objects belong in it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.camera.check import Finding, check_camera, refuse
from policy_port.camera.env_file import EnvFile
from policy_port.camera.reference import Reference, beside, load_reference
from policy_port.camera.resets import LINE, Resets, record
from policy_port.camera.scene import open_scene
from policy_port.camera.trained import another_camera
from policy_port.contract import Contract
from policy_port.robots.arm.cameras import ArmCameras
from policy_port.robots.arm.robot_file import RobotFile

FRAMES, PATIENCE = 8, 3.0
"""Pictures that the check looks at, and how long one may take [s]."""
STARTS = 20
"""Episodes of the simulation whose starts are shown."""
TINT = 0.4
"""Weight of the colour in which starts are shown."""
LARGE = 512
"""Rows of the picture for a person, about."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """The camera of an environment file."""

    env: EnvFile
    """The file, which says of what size the camera's frames are."""
    stored: Reference | None
    """What the camera showed when all was right."""
    accepted: tuple[str, ...]
    """Findings of the check that somebody has accepted."""
    starts: Resets
    """Where episodes start in the simulation."""

    @classmethod
    def of(cls, env: EnvFile, path: Path, accepted: tuple[str, ...]) -> Placed:
        """Read what belongs to a file, and let the simulation start a few times.

        Raises:
            CameraError: When the environment has no such camera, or what is stored can't be read.
        """
        stored = load_reference(beside(path)) if beside(path).exists() else None
        plain = deployed(env)
        with contextlib.closing(open_scene(plain)) as made:
            starts = record(made, plain, count=STARTS)
        return cls(env=env, stored=stored, accepted=accepted, starts=starts)

    def check_trained(self, contract: Contract) -> list[str]:
        """Hold the file against the camera that the policy was trained with, where its contract says that.

        Returns:
            What to tell the person in front of the arm.

        Raises:
            CameraError: When it is another one, and that was not accepted.
        """
        another = another_camera(contract.images, self.env)
        return refuse([] if another is None else [Finding("trained", another)], self.accepted, self.env.camera_name)

    def check(self, cameras: ArmCameras, robot: RobotFile, joint_pos: Mapping[str, float]) -> list[str]:
        """Hold the camera against its view.

        Returns:
            What to tell the person in front of the arm.

        Raises:
            CameraError: Listing what is wrong and was not accepted.
        """
        name = self.env.camera_name
        frames, now = cameras.take(name, FRAMES, PATIENCE)
        rate = robot.cameras[name].fps
        view = self.env.frame_view()
        found = check_camera(frames, view, joint_pos, robot.described, self.stored, fps=rate, now=now)
        told = refuse(found, self.accepted, name)
        if self.stored is None:
            told.append("brightness and colours were hardly checked, as nothing is stored of them")
        return told

    def placement(self, live: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The policy's picture now, with all of the simulation's starts and its spawn box in it: RGB.

        Args:
            live: RGB, of the size of the policy's pictures.
        """
        picture = live.copy()
        for starts in self.starts.starts.values():
            seen = np.any([start.pixels for start in starts], axis=0)
            if seen.shape == picture.shape[:2]:
                picture[seen] = ((1.0 - TINT) * picture[seen] + TINT * np.array(LINE)).astype(np.uint8)
        times = max(1, LARGE // picture.shape[0])
        large = picture.repeat(times, axis=0).repeat(times, axis=1)
        corners = self.starts.corners
        if corners is not None and np.isfinite(corners).all():
            edges = np.round((corners + 0.5) * times).astype(np.int32)
            cv2.polylines(large, [edges], isClosed=True, color=LINE, thickness=2, lineType=cv2.LINE_AA)
        return large


def deployed(env: EnvFile) -> EnvFile:
    """An environment file without what is for training only: randomisation, and the background behind the scene."""
    return env.model_copy(update={"randomise": None, "randomisation": None, "background": None})
