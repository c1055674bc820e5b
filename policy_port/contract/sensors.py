"""The one table of sensors: what gives each observation term on a real robot, in which frame, and why others don't."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from policy_port.contract.parsing import Parsing

SENSORS: dict[str, str] = {
    "encoders": "position and velocity of each joint of the contract, joint frame [rad or m]",
    "imu": "angular velocity and the direction of gravity in the base's axes; yaw from where it was switched on",
    "contacts": "whether a link touches something: switches, or force sensors behind a threshold",
    "forces": "the force on a link, three axes, in the link's frame [N]",
    "torque": "what each drive applies, measured or from its current, joint frame [N m or N]",
    "heights": "a map of the ground around the robot, made from depth pictures or a lidar [m]",
    "camera": "pictures",
    "estimator": "pose and velocity of the base in the world: motion capture, or an estimator that runs on the robot",
}
"""What `--sensors` takes, with what each gives."""

OF_A_ROBOT = tuple(name for name in SENSORS if name != "estimator")
"""Those that sit on the robot itself."""

OWN: dict[str, str] = {
    "computer": "computed by the controller from its own actions and clock",
    "command": "told by whoever commands the robot",
    "task": "told by the task",
    "clip": "read from the clip that lies in the port",
    "mounting": "follows from how the base is bolted down",
    "kinematics": "forward kinematics of the robot file, from what the encoders read",
}
"""What needs no sensor of its own."""

UNITREE = "unitree_sdk2 LowState_"
BEYONDMIMIC = "BeyondMimic's policies without state estimation (whole_body_tracking)"
ISAAC_G1 = "Isaac Lab's guide for the G1, student terms"


class Way(NamedTuple):
    """One way to a term's numbers."""

    sensors: tuple[str, ...]
    """All sensors that it takes."""
    how: str
    """What is read, with its frame."""
    source: str
    """Where that stands."""
    own: tuple[str, ...] = ()
    """What it takes beside sensors, of OWN."""
    note: str = ""
    """What a person has to know of it."""


class Row(NamedTuple):
    """Terms, or those of a kind, and the ways to them; a row without a way is of what no sensor gives."""

    terms: tuple[str, ...]
    """Kinds of terms."""
    ways: tuple[Way, ...]
    """Tried in this order."""
    when: str = ""
    """Which terms of these kinds, in words; all that no row before takes, if empty."""
    applies: Callable[[Any, Parsing], bool] = lambda term, contract: True
    """The same as a question."""
    refused: tuple[tuple[str, str], ...] = ()
    """Sensors that one would think of, each with why it does not do."""


ADRIFT = "its yaw counts from where it was switched on and drifts by degrees a minute: align it at the start"
ESTIMATED = "as good as the estimator: train with its delay and noise"
SLOW = "velocities by differentiating are late and noisy: train with the noise that yours have"
SWITCH = "a switch tells whether a link touches, not how hard; state the term's threshold"
INTEGRATED = (
    "an IMU measures acceleration: a bias of 0.05 m/s^2, usual after calibration, makes 0.5 m/s of velocity in 10 s, "
    "and on a robot that walks nothing sets it back"
)
LEGS = "legs tell velocity only while a foot stands and does not slip, which encoders don't know: an estimator's work"


def _bolted(term: Any, contract: Any) -> bool:
    return not contract.base.floating and not term.senses().links


def _bolted_link(term: Any, contract: Any) -> bool:
    return not contract.base.floating


def _on_link(term: Any, contract: Any) -> bool:
    return bool(term.senses().links)


def _above(term: Any, contract: Any) -> bool:
    return bool(term.above)


def _in(frame: str) -> Callable[[Any, Any], bool]:
    return lambda term, contract: term.frame == frame


def _anchored_elsewhere(term: Any, contract: Any) -> bool:
    return contract.motion is not None and bool(contract.motion.chain)


FK = ("kinematics",)
POSES = ("base_euler", "base_quat", "heading", "heading_error")
VECTORS = ("base_lin_vel", "base_ang_vel", "projected_gravity")
PLACES = ("link_height", "link_pos")
FROM_MOUNTING = Way((), "a constant, from how the base is mounted", "contract, base.floating", ("mounting",))
FROM_JOINTS = Way(("encoders",), "forward kinematics of the joints that lead to the link", "robot file", FK)
LOCATED = Way(
    ("estimator",), "pose and velocity of the base in the world", "motion capture, ROS odometry", (), ESTIMATED
)
LOCATED_LINK = LOCATED._replace(sensors=("estimator", "encoders"), own=FK, how="that of the base, carried to the link")
TURNED = "carried to the link by the joints between"

TABLE: tuple[Row, ...] = (
    Row(
        ("joint_pos", "joint_pos_rel"), (Way(("encoders",), "joint position, joint frame", f"{UNITREE}.motor_state.q"),)
    ),
    Row(("joint_vel",), (Way(("encoders",), "joint velocity, joint frame", f"{UNITREE}.motor_state.dq", (), SLOW),)),
    Row(
        ("joint_effort",),
        (Way(("torque",), "torque of each drive, joint frame", f"{UNITREE}.motor_state.tau_est"),),
        refused=(("encoders", "encoders tell where a joint is, not what moves it; only some drives report torque"),),
    ),
    Row(
        ("joint_target", "last_action"),
        (Way((), "what the controller put out before", ISAAC_G1, ("computer",)),),
    ),
    Row(
        ("velocity_command", "command"), (Way((), "the command, in the frame of its elements", ISAAC_G1, ("command",)),)
    ),
    Row(("goal",), (Way((), "the goal, in the frame that the term states", "contract, goal.frame", ("task",)),)),
    Row(
        ("gait_clock",),
        (Way((), "the controller's clock, paced by the command", "contract", ("computer", "command")),),
        "that reads the command",
        lambda term, contract: bool(term.reads),
    ),
    Row(
        ("gait_phase", "gait_clock", "elapsed", "constant"),
        (Way((), "the controller's clock and constants", "contract", ("computer",)),),
    ),
    Row(
        ("motion_joint_pos", "motion_joint_vel", "motion_command", "motion_phase"),
        (Way((), "the clip, at the controller's time", BEYONDMIMIC, ("clip", "computer")),),
    ),
    Row((*VECTORS, *POSES, *PLACES), (FROM_MOUNTING,), "of a base that is bolted down", _bolted),
    Row((*VECTORS, *POSES, *PLACES), (FROM_JOINTS,), "of a link of a robot that is bolted down", _bolted_link),
    Row(
        ("base_lin_vel",),
        (LOCATED_LINK,),
        "of a link",
        _on_link,
        (("imu", INTEGRATED), ("encoders", LEGS)),
    ),
    Row(("base_lin_vel",), (LOCATED,), refused=(("imu", INTEGRATED), ("encoders", LEGS))),
    Row(
        ("base_ang_vel", "projected_gravity"),
        (Way(("imu", "encoders"), f"the IMU's, {TURNED}", BEYONDMIMIC, FK), LOCATED_LINK),
        "of a link",
        _on_link,
    ),
    Row(
        ("base_ang_vel",),
        (Way(("imu",), "gyroscope, in the base's axes or the term's frame", f"{UNITREE}.imu_state.gyroscope"), LOCATED),
    ),
    Row(
        ("projected_gravity",),
        (Way(("imu",), "gravity by the IMU's filter, base axes", f"{UNITREE}.imu_state.quaternion"), LOCATED),
    ),
    Row(
        ("base_euler",),
        (Way(("imu",), "roll and pitch by the IMU's filter", f"{UNITREE}.imu_state.rpy"), LOCATED),
        "of the base, without yaw",
        lambda term, contract: not term.senses().links and "yaw" not in term.angles,
    ),
    Row(
        POSES,
        (Way(("imu", "encoders"), f"orientation by the IMU's filter, {TURNED}", BEYONDMIMIC, FK, ADRIFT), LOCATED_LINK),
        "of a link",
        _on_link,
    ),
    Row(
        POSES,
        (
            LOCATED,
            Way(("imu",), "orientation by the IMU's filter, world", f"{UNITREE}.imu_state.quaternion", (), ADRIFT),
        ),
    ),
    Row(
        ("link_height",),
        (Way(("imu", "encoders"), "kinematics, upright by the IMU's gravity", "robot file", FK),),
        "above other links",
        _above,
    ),
    Row(("link_pos",), (FROM_JOINTS,), "in the base's frame", _in("base")),
    Row(
        ("link_pos",),
        (Way(("imu", "encoders"), "kinematics, upright by the IMU's gravity", "robot file", FK),),
        "in the frame yaw",
        _in("yaw"),
    ),
    Row(PLACES, (LOCATED_LINK,), "of a link, over the ground or in the world", _on_link, (("imu", INTEGRATED),)),
    Row(PLACES, (LOCATED,), refused=(("imu", INTEGRATED),)),
    Row(
        ("contact",),
        (
            Way(("contacts",), "whether it touches", f"{UNITREE}.foot_force behind a threshold"),
            Way(("forces",), "the force, behind the term's threshold", f"{UNITREE}.foot_force"),
        ),
        "with a threshold",
        lambda term, contract: term.threshold is not None,
    ),
    Row(
        ("contact",),
        (Way(("forces",), "the force, link frame", f"{UNITREE}.foot_force, one axis"),),
        "as a length",
        lambda term, contract: term.measure == "magnitude",
        (("contacts", SWITCH),),
    ),
    Row(
        ("contact",),
        (Way(("forces", "imu", "encoders"), "the force, turned into the world", "robot file", FK, ADRIFT),),
        refused=(("contacts", SWITCH),),
    ),
    Row(
        ("height_scan",),
        (Way(("heights",), "the map, read in the term's grid", "elevation_mapping_cupy, grid_map", (), ESTIMATED),),
        refused=(("camera", "pictures are no heights: a map of them has to be made on the robot, the sensor heights"),),
    ),
    Row(
        ("motion_anchor_ori_b",),
        (Way(("imu", "encoders"), f"orientation by the IMU's filter, {TURNED}", BEYONDMIMIC, FK, ADRIFT), LOCATED_LINK),
        "of an anchor that is not the base",
        _anchored_elsewhere,
    ),
    Row(
        ("motion_anchor_ori_b",),
        (LOCATED, Way(("imu",), "orientation by the IMU's filter", BEYONDMIMIC, (), ADRIFT)),
    ),
    Row(("motion_anchor_pos_b",), (LOCATED_LINK,), "of an anchor that is not the base", _anchored_elsewhere),
    Row(("motion_anchor_pos_b",), (LOCATED,), refused=(("imu", INTEGRATED),)),
    Row(("external",), ()),
)
"""The first row that fits a term counts."""


def row_of(term: Any, contract: Parsing) -> Row:
    """The row of a term.

    Raises:
        NotImplementedError: When the table has none for its kind, which its author forgot.
    """
    for row in TABLE:
        if term.term in row.terms and row.applies(term, contract):
            return row
    raise NotImplementedError(f"contract/sensors.py does not say which sensor gives '{term.term}'")


def table_text() -> str:
    """The table as Markdown, for the documents."""
    lines = ["| term | which | sensors | how | source |", "|---|---|---|---|---|"]
    for row in TABLE:
        names = ", ".join(f"`{name}`" for name in row.terms)
        for way in row.ways or (Way((), "no sensor: only the simulation computes it", "", ("nothing",)),):
            needs = " + ".join(f"`{name}`" for name in way.sensors) or f"none ({', '.join(way.own)})"
            how = "; ".join(filter(None, (way.how, way.note)))
            lines.append(f"| {names} | {row.when} | {needs} | {how} | {way.source} |")
    return "\n".join(lines) + "\n"
