"""Proof that each part of an observation is what it is declared to be: the simulation is changed, and must not show.

A declaration is only words. Here the simulated robot is put somewhere, objects are moved and judgements turned over,
and each part has to follow the robot alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch

from policy_port.arrays import Array
from policy_port.errors import TaskError
from policy_port.robots.maniskill.terms import Origin

SHIFT = (0.37, -0.21, 0.13)
"""How far objects are moved [m]."""


class DeclaredTask(Protocol):
    """A task whose observation has been declared; see `RealTask`."""

    env_id: str
    base: Any
    info: dict[str, Any]

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each part of the observation comes from, by path."""
        ...

    def measured(self, joint_pos: Array, joint_vel: Array) -> None:
        """Put the simulated robot somewhere."""
        ...

    def sent(self, target: Array) -> None:
        """Set the controllers' target."""
        ...

    def parts(self) -> dict[str, Any]:
        """The parts of the observation that come from the task's own code, by path."""
        ...


def prove(task: DeclaredTask) -> None:
    """Put the origins of `task` to the proof.

    Raises:
        TaskError: Naming each part that is not what it is declared to be.
    """
    count = len(task.base.agent.robot.active_joints)
    joint_pos, joint_vel, target = (_between(*ends, count) for ends in ((0.11, 0.31), (-0.4, 0.5), (-0.29, -0.07)))

    def put() -> None:
        task.measured(joint_pos, joint_vel)
        task.sent(target)

    put()
    told = task.parts()
    problems = []
    for kinds, allowed in (
        (("dynamic",), (Origin.MEASURED, Origin.ESTIMATED, Origin.COMMANDED, Origin.COMPUTED)),
        (("dynamic", "kinematic"), (Origin.MEASURED, Origin.ESTIMATED, Origin.COMPUTED)),
    ):
        with _Elsewhere(task, kinds):
            moved = task.parts()
        problems += [
            f"{path}: declared as {origin}, but it changes when objects of the simulation are moved or judged otherwise"
            for path, origin in task.origins.items()
            if origin in allowed and path in told and not _same(told[path], moved[path])
        ]
    sources = {Origin.MEASURED: joint_pos, Origin.ESTIMATED: joint_vel}
    for path, origin in task.origins.items():
        if origin in sources and not _comes_from(told[path], sources[origin]):
            what = "joint positions" if origin is Origin.MEASURED else "joint velocities"
            problems.append(f"{path}: declared as {origin}, but it does not hold the robot's {what}")
    joint_pos, joint_vel = joint_pos + 0.05, joint_vel + 0.05
    put()
    turned = task.parts()
    problems += [
        f"{path}: declared as {origin}, but it changes with what was measured"
        for path, origin in task.origins.items()
        if origin is Origin.COMMANDED and not _same(told[path], turned[path])
    ]
    if problems:
        listed = "\n  ".join(sorted(set(problems)))
        raise TaskError(f"{task.env_id}: its observation is not what was declared:\n  {listed}")


def _between(first: float, last: float, count: int) -> Array:
    return np.linspace(first, last, count, dtype=np.float64)[None]


class _Elsewhere:
    """The simulation with its objects in other places and its evaluations turned over."""

    def __init__(self, task: DeclaredTask, kinds: tuple[str, ...]) -> None:
        actors = task.base.scene.actors.values()
        self._task = task
        self._actors = [actor for actor in actors if actor.px_body_type in kinds]
        self._poses = [actor.pose.raw_pose.clone() for actor in self._actors]
        self._info = task.info

    def __enter__(self) -> None:
        from mani_skill.utils.structs.pose import Pose

        shift = torch.tensor([[*SHIFT, 0.0, 0.0, 0.0, 0.0]])
        for actor, pose in zip(self._actors, self._poses, strict=True):
            actor.set_pose(Pose.create(pose + shift))
        self._task.info = {name: _turned(value) for name, value in self._info.items()}

    def __exit__(self, *_: object) -> None:
        from mani_skill.utils.structs.pose import Pose

        for actor, pose in zip(self._actors, self._poses, strict=True):
            actor.set_pose(Pose.create(pose))
        self._task.info = self._info


def _turned(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return ~value if value.dtype == torch.bool else value + 1


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool(torch.equal(one, other))


def _comes_from(part: torch.Tensor, source: np.ndarray) -> bool:
    """Whether every number of `part` is one of `source`'s, each at most once."""
    numbers = part.flatten().tolist()
    nearest = [int(np.abs(source[0] - number).argmin()) for number in numbers]
    return len(set(nearest)) == len(numbers) and np.allclose(source[0][nearest], numbers, atol=1e-6)
