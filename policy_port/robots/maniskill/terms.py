"""What each part of a ManiSkill task's observation is on an arm: measured, commanded, computed, or not to be had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from policy_port.errors import TaskError, closest


class Origin(StrEnum):
    """Where a part of an observation comes from when the robot is real."""

    MEASURED = "measured"
    """Joint positions of the last measurement."""
    ESTIMATED = "estimated"
    """Joint velocities, from the last two measured positions."""
    COMMANDED = "commanded"
    """Chosen by us and known therefore: the targets that were sent, a goal that the task's seed chose."""
    COMPUTED = "computed"
    """From measured joints and what was commanded, by the task's own code: forward kinematics, differences."""
    CAMERA = "camera"
    """A picture of the robot file's camera of the same name."""
    SUPPLIED = "supplied"
    """Measured by a function that the caller gave, such as a perception pipeline."""
    UNMEASURABLE = "not measurable"
    """Only the simulator knows it."""


PROPRIOCEPTION = {
    "agent/qpos": Origin.MEASURED,
    "agent/qvel": Origin.ESTIMATED,
    "agent/controller/target_qpos": Origin.COMMANDED,
}
"""ManiSkill's own proprioception, by path."""

REACH = {
    "agent/joint_pos": Origin.MEASURED,
    "agent/joint_target": Origin.COMMANDED,
    "extra/goal": Origin.COMMANDED,
}
ORIGINS: dict[str, dict[str, Origin]] = {
    "PolicyPortSO100Reach-v1": REACH,
    "PolicyPortSO100ReachBall-v1": REACH,
    "SO100GraspCube-v1": {
        "extra/dist_to_rest_qpos": Origin.COMPUTED,
        "extra/tcp_pos": Origin.COMPUTED,
        "extra/is_grasped": Origin.UNMEASURABLE,
        "extra/obj_pose": Origin.UNMEASURABLE,
        "extra/tcp_to_obj_pos": Origin.UNMEASURABLE,
    },
    "PickCubeSO100-v1": {
        "extra/tcp_pose": Origin.COMPUTED,
        "extra/goal_pos": Origin.COMMANDED,
        "extra/is_grasped": Origin.UNMEASURABLE,
        "extra/obj_pose": Origin.UNMEASURABLE,
        "extra/tcp_to_obj_pos": Origin.UNMEASURABLE,
        "extra/obj_to_goal_pos": Origin.UNMEASURABLE,
    },
}
"""What each task adds to that, or replaces. What is not in here is refused by name."""

CUBE = "Lay the cube on the table in front of the arm. The arm then goes to its start pose."
BALL = "Lay the ball on the table in front of the arm. The arm then goes to its start pose."
SCENES: dict[str, str] = {
    "SO100GraspCube-v1": CUBE,
    "PickCubeSO100-v1": CUBE,
    "PolicyPortSO100ReachBall-v1": BALL,
}
"""What somebody has to do before each episode; nothing for the other tasks."""


def origins(
    env_id: str,
    paths: Iterable[str],
    *,
    without: Iterable[str] = (),
    declared: Mapping[str, Origin] | None = None,
    supplied: Iterable[str] = (),
) -> dict[str, Origin]:
    """Origin of each part of an observation that a real arm is to deliver.

    Args:
        env_id: The task.
        paths: Paths of the parts, such as "extra/tcp_pos".
        without: Parts to leave out: paths, or single steps of them such as "segmentation".
        declared: Origins that the caller declares, for tasks that are not in `ORIGINS`.
        supplied: Paths of parts that the caller measures.

    Raises:
        TaskError: Naming all parts that can't be delivered or are not known, and names that fit no part.
    """
    paths, without, supplied = list(paths), list(without), list(supplied)
    known = {**PROPRIOCEPTION, **ORIGINS.get(env_id, {}), **(declared or {})}
    for name in [*supplied, *(declared or {})]:
        if name not in paths:
            raise TaskError(f"{env_id}: observes no '{name}'{closest(name, paths) or ','} only {', '.join(paths)}")
    for name in without:
        if not any(_is_under(path, name) for path in paths):
            raise TaskError(f"{env_id}: observes nothing named '{name}'; its parts are {', '.join(paths)}")
    found: dict[str, Origin] = {}
    problems = []
    for path in paths:
        if any(_is_under(path, name) for name in without):
            continue
        if path in supplied:
            found[path] = Origin.SUPPLIED
            continue
        origin = _of_a_sensor(path) or known.get(path)
        if origin is None:
            problems.append(f"{path}: not known; nobody has declared how it is measured")
        elif origin is Origin.UNMEASURABLE:
            problems.append(f"{path}: {origin}; only the simulator knows it")
        else:
            found[path] = origin
    if problems:
        raise TaskError(
            f"{env_id}: a real arm can't deliver all that this observation mode holds:\n  "
            + "\n  ".join(problems)
            + "\nNothing is taken from the simulation instead. Choose another observation mode; with RealEnv leave out "
            "what the policy does not read (without=...), or measure it (measure=...)"
        )
    return found


def _is_under(path: str, name: str) -> bool:
    return path == name or path.startswith(f"{name}/") or name in path.split("/")


def _of_a_sensor(path: str) -> Origin | None:
    steps = path.split("/")
    if steps[0] not in ("sensor_data", "sensor_param"):
        return None
    return Origin.CAMERA if steps[0] == "sensor_data" and steps[-1] == "rgb" else Origin.UNMEASURABLE
