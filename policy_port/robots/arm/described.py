"""Whether a robot description has the robot file's signs and zeros: its joints' names tell neither."""

from __future__ import annotations

import numpy as np

from policy_port.arrays import Array
from policy_port.camera.links import Arm, Links
from policy_port.robots.arm.kinematics import LinkPositions
from policy_port.robots.arm.robot_file import RobotFile

BEYOND = 0.1
"""How far the robot file's bounds may reach beyond the description's [rad]."""
TURNED, ASIDE = np.radians(5.0), 0.01
"""How far a joint's axis may be turned, and how far it may pass by, where the two have it [rad, m]; so may the base."""
POSES = 12

Axis = tuple[Array, Array]
"""A point on a joint's axis [m] and its direction, shape (poses, 3) each."""


def misfits(robot: RobotFile) -> list[str]:
    """What of an arm's description contradicts its robot file, a sentence each.

    A pan whose zero is another is a base that is turned, and is told as one; the jaw's zero moves no axis and passes.

    Raises:
        RobotError: When the description can't be read.
    """
    arm = Arm.load(robot.described)
    found = []
    for name, (least, most) in arm.limits.items():
        bounds = robot.joints.get(name)
        if bounds is not None and (bounds.lower < least - BEYOND or bounds.upper > most + BEYOND):
            found.append(
                f"joint '{name}' goes from {least:.2f} to {most:.2f} rad in {arm.path}, and from {bounds.lower:.2f} to "
                f"{bounds.upper:.2f} in the robot file"
            )
    if robot.kinematics is not None and (elsewhere := _elsewhere(robot, Links(arm, 1))) is not None:
        found.append(elsewhere)
    return found


def _elsewhere(robot: RobotFile, links: Links) -> str | None:
    """The first joint whose axis is elsewhere, seen from those before it, and by how much; else the base, if it is."""
    rng = np.random.default_rng(0)
    names, path = robot.joint_names, links.arm.path
    spans = [(robot.joints[name].lower, robot.joints[name].upper) for name in names]
    poses = [{name: float(rng.uniform(*span)) for name, span in zip(names, spans, strict=True)} for _ in range(POSES)]
    theirs, ours = _described(links, poses), _told(robot, poses)
    order = [name for name in links.arm.joints if name in ours]
    turn = shift = 0.0
    for count in range(1, len(order) + 1):
        fit = _fitted([theirs[name] for name in order[:count]], [ours[name] for name in order[:count]])
        turned, aside, turn, shift = fit
        if turned > TURNED or aside > ASIDE:
            return (
                f"the axis of joint '{order[count - 1]}' is {np.degrees(turned):.0f} degrees turned or "
                f"{1e3 * aside:.0f} mm aside in {path}, seen from the joints before it, of where the robot file's "
                "kinematics has it: its sign is another, or the zero of the joint before it"
            )
    if abs(turn) > TURNED or shift > ASIDE:
        return (
            f"the base of {path} is turned by {abs(np.degrees(turn)):.0f} degrees and shifted by {1e3 * shift:.0f} mm "
            f"against the robot file's kinematics, or the zero of joint '{order[0]}' is another: a camera's view and a "
            "goal, which are places in the base's frame, would mean others"
        )
    return None


def _described(links: Links, poses: list[dict[str, float]]) -> dict[str, Axis]:
    model, rows = links.arm.model, [links.frames(pose) for pose in poses]
    found = {}
    for name in links.arm.joints:
        joint = model.joint(name)
        body = int(joint.bodyid[0])
        points = [origin[body] + turned[body] @ joint.pos for turned, origin in rows]
        found[name] = np.array(points), np.array([turned[body] @ joint.axis for turned, _ in rows])
    return found


def _told(robot: RobotFile, poses: list[dict[str, float]]) -> dict[str, Axis]:
    assert robot.kinematics is not None
    known, found = LinkPositions(robot.kinematics), {}
    for name, link in robot.kinematics.links.items():
        if link.joint is not None:
            frames = np.array([known.pose(name, pose) for pose in poses])
            found[link.joint] = frames[:, :3, 3], frames[:, :3, :3] @ (np.array(link.axis) / np.linalg.norm(link.axis))
    return found


def _fitted(theirs: list[Axis], ours: list[Axis]) -> tuple[float, float, float, float]:
    """How far the axes are turned and aside at most, once one base lies on the other; how far it is turned and shifted.

    It is turned about its vertical.
    """
    (points, ways), (wanted, told) = (
        [np.concatenate(part) for part in zip(*axes, strict=True)] for axes in (theirs, ours)
    )
    # Directions tell how far the bases are turned against each other, lines by how much they are shifted.
    across = ways[:, 0] + 1j * ways[:, 1]
    turn = np.angle(np.sum(np.conj(across) * (told[:, 0] + 1j * told[:, 1])))
    turning = np.array([[np.cos(turn), -np.sin(turn), 0.0], [np.sin(turn), np.cos(turn), 0.0], [0.0, 0.0, 1.0]])
    points, ways = points @ turning.T, ways @ turning.T
    # A point may lie anywhere along its axis: only what is across it counts.
    beside = np.eye(3) - told[:, :, None] * told[:, None, :]
    shift, *_ = np.linalg.lstsq(beside.reshape(-1, 3), (beside @ (wanted - points)[..., None]).ravel(), rcond=None)
    aside = np.linalg.norm((beside @ (wanted - points - shift)[..., None])[..., 0], axis=1)
    turned = np.arccos(np.clip(np.sum(ways * told, axis=1), -1.0, 1.0))
    return float(turned.max()), float(aside.max()), float(turn), float(np.linalg.norm(shift))
