"""The joint order of a robot file in each simulator, and the mapping between two of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from policy_port.contract import RobotMapping
from policy_port.descriptors.kinematic_tree import breadth_first_by_name, depth_first
from policy_port.descriptors.robot_parsers import mujoco_tree, newton_order, newton_tree, sapien_order
from policy_port.errors import RobotError
from policy_port.robot_models.find import USD_SUFFIXES, find_robot

ORDERS: dict[str, str] = {
    "isaaclab": "Isaac Lab on PhysX (breadth-first, siblings by link name)",
    "mujoco": "MuJoCo (depth-first)",
    "newton": "Newton",
    "sapien": "SAPIEN, ManiSkill",
}
"""Joint orders by the name that `--from-order` and `--to-order` take."""


@dataclass(frozen=True, kw_only=True)
class JointOrder:
    """Joint names of a robot file in one simulator's order."""

    names: tuple[str, ...]
    """The joints; a floating base is not one of them."""
    note: str = ""
    """What is not certain about it."""


def joint_order(path: Path, order: str) -> JointOrder:
    """Joints of a robot file in one of `ORDERS`.

    MuJoCo, Newton and SAPIEN are asked themselves. PhysX is not at hand; its order is Isaac Lab's rule applied to the
    tree that MuJoCo parsed (Newton for USD).

    Raises:
        RobotError: When that simulator can't read the file, or it holds no joints.
    """
    usd = path.suffix.lower() in USD_SUFFIXES
    if usd and order in ("mujoco", "sapien"):
        raise RobotError(f"{path}: {order} does not read USD; give the robot's URDF or MJCF")
    note = ""
    match order:
        case "mujoco":
            names = depth_first(mujoco_tree(path))
        case "newton":
            names = newton_order(path)
        case "sapien":
            names = sapien_order(path)
        case _:
            tree = newton_tree(path) if usd else mujoco_tree(path)
            names = breadth_first_by_name(tree, merge_fixed=True)
            kept = breadth_first_by_name(tree, merge_fixed=False)
            if kept != names:
                note = (
                    "Isaac Lab's order depends on whether the robot was converted with merged fixed joints; taken as "
                    f"merged. With kept ones it would be: {', '.join(kept)}"
                )
    if not names:
        raise RobotError(f"{path}: has no hinge or slide joints")
    return JointOrder(names=names, note=note)


def derive_mapping(robot: str | Path, source: str, target: str) -> tuple[RobotMapping, list[str]]:
    """The mapping from one simulator's joint order to another's, and what is not certain about it.

    Args:
        robot: A robot file, or the name of one that comes with ManiSkill.
        source: Order that the policy was trained in, one of `ORDERS`.
        target: Order that it is deployed in.

    Raises:
        RobotError: When the two simulators find different joints in the file.
    """
    path = Path(robot)
    if path.suffix.lower() not in USD_SUFFIXES or not path.is_file():
        path = find_robot(robot)
    sides = [joint_order(path, order) for order in (source, target)]
    odd = sorted(set(sides[0].names) ^ set(sides[1].names))
    if odd:
        raise RobotError(
            f"{path}: {source} finds {len(sides[0].names)} joints and {target} {len(sides[1].names)}; they differ in "
            f"{', '.join(odd)}. Write the mapping by hand, with only_in_source or only_in_target"
        )
    mapping = RobotMapping(
        source=ORDERS[source],
        target=ORDERS[target],
        source_joint_names=sides[0].names,
        target_joint_names=sides[1].names,
    )
    return mapping, [side.note for side in sides if side.note]
