"""Predictions of segments in SAPIEN, one after the other: the physics of a plant under dynamics.yaml."""

from __future__ import annotations

from collections.abc import Sequence
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
from policy_port.plants.maniskill_scene import RobotScene
from policy_port.plants.physics import Physics
from policy_port.plants.play import Play
from policy_port.plants.sapien_changes import SceneChanges
from policy_port.plants.setup import PlantSetup


class SapienPredictor:
    """A robot file in SAPIEN whose segments are predicted."""

    def __init__(self, robot: Path, setup: PlantSetup, payload_link: str | None = None) -> None:
        """Load it; see `MujocoPredictor`.

        Raises:
            RobotError: When the file can't be loaded or does not fit the setup.
        """
        # What the file states of drives and losses is read once, as MuJoCo has it.
        told = MujocoPredictor(robot, setup, payload_link)
        self.stock, self.limits, names = told.stock, told.limits, told.joint_names
        """What robot file and contract say; limits [rad], shape (joints, 2)."""
        told.close()
        built = build.read_robot(robot, setup, meshes=False)
        build.configure_physics(built.physics.gravity)
        self._gravity = np.array(built.physics.gravity, np.float64)
        self._scene = RobotScene(built, setup)
        self._changes = SceneChanges(self._scene, 0)
        self._payload, self._is_stock = payload_link, setup.actuation == "model"
        self.joint_names = self._scene.joint_names
        """Joints, in SAPIEN's order."""
        order = [names.index(name) for name in self.joint_names]
        self.stock = {key: array[order] if len(array) == len(order) else array for key, array in self.stock.items()}
        self.limits = self.limits[order]
        self.timestep = setup.timestep
        """Physics timestep [s]."""

    def close(self) -> None:
        """Nothing is held."""

    def predict(self, columns: Sequence[Values], segments: Segments) -> Array:
        """Readings that each set of values predicts [rad], shape (columns, segments, samples, joints)."""
        steps = int(np.ceil(segments.after.max() / self.timestep - 1e-9))
        place = np.minimum(segments.after / self.timestep, steps - 1e-9)
        low = place.astype(np.int64)
        rows, part = np.arange(segments.count)[:, None], (place - low)[..., None]
        found = np.empty((len(columns), *segments.measured.shape))
        for index, values in enumerate(columns):
            if not self._is_stock:
                self._changes.set(self._physics(values))
            path = self._paths(values, segments, steps)
            position = path[rows, low] * (1.0 - part) + path[rows, low + 1] * part
            found[index] = position * values["gain"] + values["offset"]
        return np.nan_to_num(found, nan=DIVERGED, posinf=DIVERGED, neginf=-DIVERGED)

    def _physics(self, values: Values) -> Physics:
        tilt = float(values["gravity_tilt_x"][0]), float(values["gravity_tilt_y"][0])
        carried = None if self._payload is None else {self._payload: values["payload_mass"]}
        return Physics(
            joint_damping=values["damping"][None],
            joint_friction=values["friction"][None],
            armature=values["armature"][None],
            stiffness=values["stiffness"][None],
            damping=values["drive_damping"][None],
            effort_limit=values["effort_limit"][None],
            gravity=tilted(self._gravity, *tilt)[None] if any(tilt) else None,
            link_mass=carried,
        )

    def _paths(self, values: Values, segments: Segments, steps: int) -> Array:
        """True positions at each step, shape (segments, steps + 1, joints)."""
        scene, articulation = self._scene, self._scene.articulation
        targets = drive_targets(segments, values["delay"], self.timestep, steps)
        start = (segments.position - values["offset"]) / values["gain"]
        play = Play(0.5 * values["backlash"][None], values["stiffness"][None], values["drive_damping"][None])
        state = PlantState.allocate(1, len(self.joint_names))
        columns: Any = scene.coordinates.columns
        path = np.empty((segments.count, steps + 1, len(self.joint_names)))
        path[:, 0] = start
        for index in range(segments.count):
            scene.reset(start[index])
            speed = scene.coordinates.driven(segments.velocity[index] / values["gain"])
            articulation.set_qvel(speed.astype(np.float32))
            state.joint_pos[0], state.joint_vel[0] = start[index], segments.velocity[index] / values["gain"]
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
