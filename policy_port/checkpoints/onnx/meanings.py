"""What an input of LEAPP's YAML is in a contract's words: by what Isaac Lab connects it to, or by its kind."""

from __future__ import annotations

from dataclasses import dataclass

from policy_port.checkpoints.files.leapp_yaml import LeappModel, LeappTensor
from policy_port.errors import CheckpointError

VECTORS = frozenset({"base_lin_vel", "base_ang_vel", "projected_gravity", "velocity_command"})
"""Meanings of three numbers in a fixed order."""
JOINTS = frozenset({"joint_pos", "joint_vel"})
"""Meanings of one number per joint."""
QUATERNION = "quaternion"
"""The robot's orientation in the world, which a contract knows as projected gravity only."""
GOAL = "goal"
"""A command that is no velocity."""

_OF_ROBOT = {
    "joint_pos": "joint_pos",
    "joint_vel": "joint_vel",
    "root_lin_vel_b": "base_lin_vel",
    "root_com_lin_vel_b": "base_lin_vel",
    "root_link_lin_vel_b": "base_lin_vel",
    "root_ang_vel_b": "base_ang_vel",
    "root_com_ang_vel_b": "base_ang_vel",
    "root_link_ang_vel_b": "base_ang_vel",
    "projected_gravity_b": "projected_gravity",
    "root_quat_w": QUATERNION,
    "root_link_quat_w": QUATERNION,
}
_BY_KIND = {
    "state/joint/position": "joint_pos",
    "state/joint/velocity": "joint_vel",
    "state/body/linear_velocity": "base_lin_vel",
    "state/body/angular_velocity": "base_ang_vel",
    "state/body/rotation": QUATERNION,
}
_COMMAND = "command/body/velocity"
_POINTS = {"root_lin_vel_b": "com", "root_com_lin_vel_b": "com", "root_link_lin_vel_b": "link"}
_AXES = {
    "velocity_command": [("lin_vel_x", "lin_vel_y", "ang_vel_z")],
    "base_lin_vel": [("x", "y", "z")],
    "base_ang_vel": [("x", "y", "z")],
    "projected_gravity": [("x", "y", "z")],
}
_QUATERNIONS: dict[tuple[str, ...], str] = {
    ("qx", "qy", "qz", "qw"): "xyzw",
    ("x", "y", "z", "w"): "xyzw",
    ("qw", "qx", "qy", "qz"): "wxyz",
    ("w", "x", "y", "z"): "wxyz",
}


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What an input is."""

    size: int
    """Number of its elements."""
    term: str | None
    """Term of a contract, `QUATERNION`, `GOAL`, or None for what only the task knows."""
    point: str | None = None
    """Point of the base whose velocity it is: com or link; None where the file does not say."""
    order: str | None = None
    """Order of a quaternion: xyzw or wxyz; None where the file does not say."""
    stated: bool = True
    """Whether the file says it; otherwise it is taken from the kind or the name."""


def robot_of(model: LeappModel) -> str:
    """The scene entity that the policy drives."""
    for tensor in (*model.outputs, *model.inputs):
        kind, _, rest = (tensor.connection or "").partition(":")
        if kind == "write" or rest.endswith(":joint_pos"):
            return rest.partition(":")[0]
    return "robot"


def meaning(tensor: LeappTensor, robot: str, where: object) -> Meaning:
    """What an input is in a contract's words.

    Raises:
        CheckpointError: When its names or its size contradict its kind.
    """
    found = _found(tensor, robot)
    size = 4 if found.term == QUATERNION else 3 if found.term in VECTORS else tensor.size
    if tensor.size != size:
        raise CheckpointError(
            f"{where}: {tensor.place} ({tensor.name}) has the shape {list(tensor.shape)}, but what it is ("
            f"{tensor.connection or tensor.kind}) has {size} numbers"
        )
    if found.term in _AXES and tensor.names is not None and tensor.names not in _AXES[found.term]:
        raise CheckpointError(
            f"{where}: {tensor.place} ({tensor.name}) has its elements in the order {', '.join(tensor.names)}; a "
            f"contract's {found.term} is {', '.join(_AXES[found.term][0])}"
        )
    if found.term in JOINTS and tensor.names is None:
        raise CheckpointError(
            f"{where}: {tensor.place} ({tensor.name}) has no element_names, so which joints these are is unknown"
        )
    return found


def _found(tensor: LeappTensor, robot: str) -> Meaning:
    order = _QUATERNIONS.get(tensor.names or ())
    kind, _, rest = (tensor.connection or "").partition(":")
    if kind == "state":
        entity, _, name = rest.partition(":")
        term = _OF_ROBOT.get(name) if entity == robot else None
        return Meaning(size=tensor.size, term=term, point=_POINTS.get(name), order=order)
    if kind == "command" or (tensor.kind or "").startswith("command/"):
        return Meaning(size=tensor.size, term="velocity_command" if tensor.kind == _COMMAND else GOAL)
    term = _BY_KIND.get(tensor.kind or "")
    if tensor.kind == "state/vector3d" and "gravity" in tensor.name.lower():
        term = "projected_gravity"
    return Meaning(size=tensor.size, term=term, order=order, stated=False)
