"""Proof that each part of an observation is what it is declared to be: the simulation is changed, and must not show.

A declaration is only words. Here the simulated robot is put somewhere, objects are moved and judgements turned over,
and each part has to follow the robot alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from policy_port.arrays import Array
from policy_port.errors import TaskError
from policy_port.robots.maniskill.terms import Origin

SHIFT = (0.37, -0.21, 0.13)
"""How far objects are moved [m]."""


Parts = dict[str, torch.Tensor]


def prove(
    env_id: str,
    base: Any,
    origins: Mapping[str, Origin],
    put: Callable[[Array, Array, Array], None],
    parts: Callable[[dict[str, Any]], Parts],
) -> None:
    """Put declared origins to the proof.

    Args:
        env_id: The task.
        base: ManiSkill's environment.
        origins: Where each part of the observation comes from, by path.
        put: Puts the simulated robot to joint positions and velocities, and its controllers to targets.
        parts: The parts of the observation that come from the task's own code, by path, from what was judged.

    Raises:
        TaskError: Naming each part that is not what it is declared to be.
    """
    count, judged = len(base.agent.robot.active_joints), base.get_info()
    joint_pos, joint_vel, target = (_between(*ends, count) for ends in ((0.11, 0.31), (-0.4, 0.5), (-0.29, -0.07)))
    put(joint_pos, joint_vel, target)
    told = parts(judged)
    problems = []
    for kinds, allowed in (
        (("dynamic",), (Origin.MEASURED, Origin.ESTIMATED, Origin.COMMANDED, Origin.COMPUTED)),
        (("dynamic", "kinematic"), (Origin.MEASURED, Origin.ESTIMATED, Origin.COMPUTED)),
    ):
        with _elsewhere(base.scene, kinds):
            moved = parts({name: _turned(value) for name, value in judged.items()})
        problems += [
            f"{path}: declared as {origin}, but it changes when objects of the simulation are moved or judged otherwise"
            for path, origin in origins.items()
            if origin in allowed and path in told and not torch.equal(told[path], moved[path])
        ]
    sources = {Origin.MEASURED: joint_pos, Origin.ESTIMATED: joint_vel}
    for path, origin in origins.items():
        if origin in sources and not _comes_from(told[path], sources[origin]):
            what = "joint positions" if origin is Origin.MEASURED else "joint velocities"
            problems.append(f"{path}: declared as {origin}, but it does not hold the robot's {what}")
    put(joint_pos + 0.05, joint_vel + 0.05, target)
    turned = parts(judged)
    problems += [
        f"{path}: declared as {origin}, but it changes with what was measured"
        for path, origin in origins.items()
        if origin is Origin.COMMANDED and not torch.equal(told[path], turned[path])
    ]
    if problems:
        listed = "\n  ".join(sorted(set(problems)))
        raise TaskError(f"{env_id}: its observation is not what was declared:\n  {listed}")


def _between(first: float, last: float, count: int) -> Array:
    return np.linspace(first, last, count, dtype=np.float64)[None]


@contextlib.contextmanager
def _elsewhere(scene: Any, kinds: tuple[str, ...]) -> Iterator[None]:
    """The simulation with its objects in other places."""
    from mani_skill.utils.structs.pose import Pose

    actors = [actor for actor in scene.actors.values() if actor.px_body_type in kinds]
    poses = [actor.pose.raw_pose.clone() for actor in actors]
    shift = torch.tensor([[*SHIFT, 0.0, 0.0, 0.0, 0.0]])
    for actor, pose in zip(actors, poses, strict=True):
        actor.set_pose(Pose.create(pose + shift))
    try:
        yield
    finally:
        for actor, pose in zip(actors, poses, strict=True):
            actor.set_pose(Pose.create(pose))


def _turned(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return ~value if value.dtype == torch.bool else value + 1


def _comes_from(part: torch.Tensor, source: np.ndarray) -> bool:
    """Whether every number of `part` is one of `source`'s, each at most once."""
    numbers = part.flatten().tolist()
    nearest = [int(np.abs(source[0] - number).argmin()) for number in numbers]
    return len(set(nearest)) == len(numbers) and np.allclose(source[0][nearest], numbers, atol=1e-6)
