"""rl_sar's base.yaml and config.yaml: names in SDK order, everything that the policy touches in its own order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from policy_port.contract import Contract
from policy_port.descriptors.outwards.given import Given, gains, not_written, numbers, unknown_term
from policy_port.descriptors.rl_sar import TERMS, WAIST
from policy_port.errors import ContractError

KIND = "rl_sar"
MAIN = ("config.yaml", "base.yaml")
WHAT = "a config.yaml of rl_sar"
READS = frozenset({"names"})

NAMES = {given["term"]: name for name, (given, _) in TERMS.items() if given["term"] != "external"}
TORSO = "torso_link"


def files(contract: Contract, given: Given) -> dict[str, Any]:
    """config.yaml of the policy and base.yaml of the robot."""
    motors, names = given.motors(contract, KIND), list(contract.joint_names)
    wheels = _wheels(contract)
    limits = [joint.effort_limit for joint in contract.joints.values()]
    if None in limits:
        name = names[limits.index(None)]
        raise ContractError(
            f"contract '{contract.name}': joints.{name}.effort_limit is not stated, and rl_sar bounds torques by it; "
            "state it in the contract"
        )
    driven = gains(contract, WHAT)
    config: dict[str, Any] = {
        "model_name": "policy.pt",
        "num_observations": sum(contract.term_size(term) for term in contract.observation.terms),
        **_observation(contract, wheels),
        **_motion(contract, motors),
        **_raw_clip(contract),
        # To stand up with before the policy runs.
        **{f"{part}_{short}": driven[key] for part in ("rl", "fixed") for key, short in _GAINS},
        "num_of_dofs": len(names),
        "action_scale": [
            float(term.entry("scale", name)) for term in contract.action.terms for name in contract.action_joints(term)
        ],
        "wheel_indices": [names.index(name) for name in wheels],
        "torque_limits": limits,
        "default_dof_pos": [joint.default for joint in contract.joints.values()],
        "joint_mapping": [motors.index(name) for name in names],
    }
    base = {
        "dt": contract.timestep,
        "decimation": contract.decimation,
        "num_of_dofs": len(names),
        "joint_names": list(motors),
    }
    return {MAIN[0]: {f"{contract.robot}/{contract.name}": config}, MAIN[1]: {contract.robot: base}}


_GAINS = (("stiffness", "kp"), ("damping", "kd"))


def options(contract: Contract, folder: Path) -> dict[str, Any]:
    """The files say all."""
    return {}


def said(contract: Contract) -> dict[str, Any]:
    """The way to the torso, which the runner's own source has."""
    chain = contract.model_dump(mode="json", exclude_none=True).get("motion", {}).get("chain")
    return {} if chain is None else {"motion.chain": chain}


def _wheels(contract: Contract) -> list[str]:
    """The joints whose action is a velocity.

    Raises:
        ContractError: When the action is neither that nor a position, or drives its joints in another order.
    """
    for term in contract.action.terms:
        if term.term not in ("joint_position", "joint_velocity"):
            raise not_written(contract, f"action term '{term.term}'", WHAT, ("joint_position", "joint_velocity"))
    if contract.action_joint_names != contract.joint_names:
        raise ContractError(
            f"contract '{contract.name}': its action leaves out joints or drives them in another order than the "
            f"contract's joints, and {WHAT} has every one in that"
        )
    return [name for name, drive in contract.drives.items() if drive == "velocity"]


def _motion(contract: Contract, motors: tuple[str, ...]) -> dict[str, Any]:
    """Where the runner finds anchor and clip; nothing for a policy that follows none."""
    if contract.motion is None:
        return {}
    found: dict[str, Any] = {}
    if contract.motion.anchor is not None:
        if contract.motion.anchor != TORSO or not set(WAIST) <= set(motors):
            raise ContractError(
                f"contract '{contract.name}': motion.anchor is {contract.motion.anchor}, and {WHAT} compares the "
                f"{TORSO} of a robot with {', '.join(WAIST)}"
            )
        found["waist_joint_indices"] = [motors.index(name) for name in WAIST]
    rate = contract.motion.files.rate
    # The file's name alone says its rate.
    return found | ({} if rate is None else {"motion_file": f"{contract.name}_{rate:g}hz.csv"})


def _observation(contract: Contract, wheels: list[str]) -> dict[str, Any]:
    names: list[str] = []
    scales: dict[str, Any] = {key: 1.0 for _, key in TERMS.values() if key}
    scales["commands_scale"] = [1.0, 1.0, 1.0]
    stacks = {contract.observation.stack(term) for term in contract.observation.terms}
    for term in contract.observation.terms:
        if term.term not in NAMES:
            raise unknown_term(contract, term, WHAT, NAMES)
        name = NAMES[term.term]
        names.append(name)
        key, values = TERMS[name][1], numbers(term, contract, "scale")
        if key == "commands_scale":
            scales[key] = values
        elif key is not None:
            # The wheels' positions are zeros there whatever the scale.
            legs = [place for place, name in enumerate(term.elements(contract)) if name not in wheels]
            scales[key] = values[legs[0] if legs and key == "dof_pos_scale" else 0]
    found: dict[str, Any] = {"observations": names, **scales}
    if len(stacks) > 1:
        raise ContractError(
            f"contract '{contract.name}': its terms have different histories, and {WHAT} has one for all of them"
        )
    stack = stacks.pop()
    if stack.ages != (0,):
        found["observations_history"] = list(stack.ages)
        found["observations_history_priority"] = "time" if stack.time_major else "term"
    if contract.observation.clip is not None:
        found["clip_obs"] = contract.observation.clip[1]
    return found


def _raw_clip(contract: Contract) -> dict[str, Any]:
    clip, names = contract.action.raw_clip, contract.action_joint_names
    if clip is None:
        return {}
    bounds = [clip[name] if isinstance(clip, dict) else clip for name in names]
    return {f"clip_actions_{end}": [pair[i] for pair in bounds] for i, end in enumerate(("lower", "upper"))}
