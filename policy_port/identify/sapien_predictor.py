"""Predictions of segments in SAPIEN, one after the other: the physics of a plant under dynamics.yaml.

PhysX takes 30 us a step for an arm, alone or beside others in one scene, MuJoCo 4; many are parted among processes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.arrays import Array
from policy_port.control.plant import PlantState
from policy_port.identify.commands import drive_targets
from policy_port.identify.mujoco_predictor import DIVERGED, MujocoPredictor, tilted
from policy_port.identify.parameters import Values
from policy_port.identify.segments import Segments
from policy_port.plants import maniskill_build as build
from policy_port.plants.dynamic import PHYSICS
from policy_port.plants.maniskill_scene import RobotScene
from policy_port.plants.physics import Physics
from policy_port.plants.play import Play
from policy_port.plants.sapien_changes import SceneChanges
from policy_port.plants.setup import PlantSetup

WORTH_IT = 100_000
"""Readings from which on a prediction is parted among processes, which take seconds to start."""


class SapienPredictor:
    """A robot file in SAPIEN whose segments are predicted."""

    def __init__(self, robot: Path, setup: PlantSetup, payload_link: str | None = None) -> None:
        """Load it; see `MujocoPredictor`.

        Raises:
            RobotError: When the file can't be loaded or does not fit the setup.
        """
        self._made_of = robot, setup, payload_link
        self._cores = len(os.sched_getaffinity(0))
        self._pool: ProcessPoolExecutor | None = None
        self.quick = MujocoPredictor(robot, setup, payload_link)
        """The same robot in MuJoCo, whose order of joints is kept to; it also reads the file's drives and losses."""
        self.stock, self.limits, self.joint_names = self.quick.stock, self.quick.limits, self.quick.joint_names
        """What robot file and contract say; limits [rad], shape (joints, 2); joints, in the file's order."""
        built = build.read_robot(robot, setup, meshes=False)
        build.configure_physics(built.physics.gravity)
        self._gravity = np.array(built.physics.gravity, np.float64)
        self._scene = RobotScene(built, setup)
        self._changes = SceneChanges(self._scene, 0)
        self._payload, self._is_stock = payload_link, setup.actuation == "model"
        self._order = [self.joint_names.index(name) for name in self._scene.joint_names]
        self._back = [self._scene.joint_names.index(name) for name in self.joint_names]
        self.timestep = setup.timestep
        """Physics timestep [s]."""

    def close(self) -> None:
        """End the processes, and MuJoCo's threads."""
        self.quick.close()
        if self._pool is not None:
            self._pool.shutdown()

    def predict(self, columns: Sequence[Values], segments: Segments) -> Array:
        """Readings that each set of values predicts [rad], shape (columns, segments, samples, joints)."""
        if self._cores == 1 or len(columns) * segments.measured.size < WORTH_IT:
            return self._predict(columns, segments)
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._cores, get_context("spawn"), _build, self._made_of)
        parts = [part.tolist() for part in np.array_split(np.array(columns, object), self._cores)]
        return np.concatenate(list(self._pool.map(_predict, parts, [segments] * len(parts))))

    def _predict(self, columns: Sequence[Values], segments: Segments) -> Array:
        steps = int(np.ceil(segments.after.max() / self.timestep - 1e-9))
        found = np.empty((len(columns), *segments.measured.shape))
        for index, values in enumerate(columns):
            if not self._is_stock:
                self._changes.set(self._physics(values))
            position = segments.sampled(self._paths(values, segments, steps)[..., self._back], self.timestep)
            found[index] = position * values["gain"] + values["offset"]
        return np.nan_to_num(found, nan=DIVERGED, posinf=DIVERGED, neginf=-DIVERGED)

    def _physics(self, values: Values) -> Physics:
        tilt = float(values["gravity_tilt_x"][0]), float(values["gravity_tilt_y"][0])
        carried = None if self._payload is None else {self._payload: values["payload_mass"]}
        mine: Any = {field: values[key][None, self._order] for field, key in PHYSICS.items()}
        return Physics(
            **mine,
            gravity=tilted(self._gravity, *tilt)[None] if any(tilt) else None,
            link_mass=carried,
        )

    def _paths(self, values: Values, segments: Segments, steps: int) -> Array:
        """True positions at each step, shape (segments, steps + 1, joints), SAPIEN's order."""
        scene, articulation, order = self._scene, self._scene.articulation, self._order
        targets = drive_targets(segments, values["delay"], self.timestep, steps)[..., order]
        start = ((segments.position - values["offset"]) / values["gain"])[..., order]
        moving = (segments.velocity / values["gain"])[..., order]
        half, stiffness, damping = (values[key][None, order] for key in ("backlash", "stiffness", "drive_damping"))
        play = Play(0.5 * half, stiffness, damping)
        state = PlantState.allocate(1, len(self.joint_names))
        columns: Any = scene.coordinates.columns
        path = np.empty((segments.count, steps + 1, len(self.joint_names)))
        path[:, 0] = start
        for index in range(segments.count):
            scene.reset(start[index])
            articulation.set_qvel(scene.coordinates.driven(moving[index]).astype(np.float32))
            state.joint_pos[0], state.joint_vel[0] = start[index], moving[index]
            for step in range(steps):
                target = targets[index, step]
                if play.there:
                    target = play.through(target[None], state)[0]
                scene.write(target)
                scene.step(1)
                state.joint_pos[0] = path[index, step + 1] = articulation.qpos[columns]
                if play.there:
                    state.joint_vel[0] = articulation.qvel[columns]
        return path


_own: list[SapienPredictor] = []
"""The predictor of a process that predicts for another."""


def _build(robot: Path, setup: PlantSetup, payload_link: str | None) -> None:
    _own.append(SapienPredictor(robot, setup, payload_link))


def _predict(columns: Sequence[Values], segments: Segments) -> Array:
    return _own[0]._predict(columns, segments)
