"""What a trace's header says of how the source drove the joints, and whether it says that of the actuators at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from policy_port.contract.spec import Contract
from policy_port.mistakes.orders import listed
from policy_port.verdict.evidence import Evidence

UNBOUNDED = 1e6
"""An effort limit from here on is none: what a simulator is told whose own drives must not limit an actuator model."""

GAINS = ("stiffness", "damping")


@dataclass(frozen=True, kw_only=True)
class Applied:
    """One key of the drives as a header states it."""

    values: dict[str, float]
    """What was applied, by joint name."""
    left_out: tuple[str, ...] = ()
    """Joints for which what was recorded is not what the actuators applied."""
    note: str = ""
    """What was recorded instead, or why what the header states can't be read."""


def applied(contract: Contract, evidence: Evidence, key: str) -> Applied:
    """What the source applied of one key, as far as the recording means that.

    Under an explicit actuator model the simulator's own drives are off, and what it is asked for tells their zeros, not
    the actuators' gains (Isaac Lab's `default_joint_stiffness`), and no effort limit.
    """
    values, problem = stated_drives(evidence, key)
    off = () if contract.actuation.kind == "implicit" else _off(contract, evidence, key, values)
    if not off:
        return Applied(values=values, note=problem)
    who = f"all {len(off)} joints" if len(off) == len(values) else listed(off)
    what = "0" if key in GAINS else "no bound"
    note = (
        f"the trace states {what} for {who}: the simulator's own drive, which an explicit actuator model leaves off; "
        f"record what the actuators apply (in Isaac Lab the {key} of robot.actuators, not the joints' default)"
    )
    return Applied(values={name: value for name, value in values.items() if name not in off}, left_out=off, note=note)


def drives_are_off(contract: Contract, evidence: Evidence) -> bool:
    """Whether no joint that the contract drives was driven by the source's simulator itself."""
    if evidence.header.get("actuation") == "implicit":
        return False
    values = stated_drives(evidence, "stiffness")[0]
    mine = [name for name, joint in contract.joints.items() if name in values and joint.stiffness]
    return bool(mine) and set(mine) <= set(_off(contract, evidence, "stiffness", values))


def _off(contract: Contract, evidence: Evidence, key: str, values: dict[str, float]) -> tuple[str, ...]:
    """The joints whose drive was off in the simulator, though the contract drives them."""
    if evidence.header.get("actuation") == "implicit":
        return ()
    stated = {name: getattr(contract.joints[name], key) for name in values if name in contract.joints}
    if key == "effort_limit":
        return tuple(n for n, value in stated.items() if value is not None and values[n] >= UNBOUNDED > value)
    if key not in GAINS:
        return ()
    both = {gain: stated_drives(evidence, gain)[0] for gain in GAINS}
    return tuple(
        name for name, value in stated.items() if value and not any(gains.get(name, 0.0) for gains in both.values())
    )


def stated_drives(evidence: Evidence, key: str) -> tuple[dict[str, float], str]:
    """A key by joint name as the header states it, by name or as a list in the order of joint_names; and what is wrong.

    Returns:
        The values, none where the header states nothing that can be read; why it can't be.
    """
    stated: Any = evidence.header.get(key)
    if stated is None:
        return {}, ""
    if isinstance(stated, list) and len(stated) != len(evidence.joint_names):
        return {}, f"the header's {key} has {len(stated)} numbers, joint_names has {len(evidence.joint_names)}"
    if isinstance(stated, list):
        stated = dict(zip(evidence.joint_names, stated, strict=True))
    if not isinstance(stated, dict):
        return (
            {},
            f"the header's {key} is {stated!r}; give a number by joint name, or a list in the order of joint_names",
        )
    known = {name: value for name, value in stated.items() if _number(value)}
    strange = [f"{name}: {value!r}" for name, value in stated.items() if value is not None and not _number(value)]
    problem = f"the header's {key} holds what is no number: {listed(strange)}" if strange else ""
    return {name: float(value) for name, value in known.items()}, problem


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
