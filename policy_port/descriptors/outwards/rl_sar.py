"""rl_sar's base.yaml and config.yaml: names in SDK order, everything that the policy touches in its own order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from policy_port.contract import Contract
from policy_port.descriptors.outwards.given import Given, gains, numbers, only_position, unknown_term
from policy_port.descriptors.rl_sar import TERMS
from policy_port.errors import ContractError

KIND = "rl_sar"
MAIN = ("config.yaml", "base.yaml")
WHAT = "a config.yaml of rl_sar"
READS = frozenset({"names"})

NAMES = {
    given["term"]: name for name, (given, _) in TERMS.items() if not given["term"].startswith(("motion", "external"))
}


def files(contract: Contract, given: Given) -> dict[str, Any]:
    """config.yaml of the policy and base.yaml of the robot."""
    motors, names = given.motors(contract, KIND), list(contract.joint_names)
    action = only_position(contract, WHAT)
    if list(contract.action_joints(action)) != names:
        raise ContractError(f"contract '{contract.name}': its action leaves out joints, and {WHAT} has every one")
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
        **_observation(contract),
        **_raw_clip(contract),
        # To stand up with before the policy runs.
        **{f"{part}_{short}": driven[key] for part in ("rl", "fixed") for key, short in _GAINS},
        "num_of_dofs": len(names),
        "action_scale": [action.entry("scale", name) for name in names],
        "wheel_indices": [],
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


def _observation(contract: Contract) -> dict[str, Any]:
    names: list[str] = []
    scales: dict[str, Any] = {key: 1.0 for _, key in TERMS.values() if key}
    scales["commands_scale"] = [1.0, 1.0, 1.0]
    lengths = {term.history for term in contract.observation.terms}
    for term in contract.observation.terms:
        if term.term not in NAMES:
            raise unknown_term(contract, term, WHAT, NAMES)
        name = NAMES[term.term]
        names.append(name)
        key, values = TERMS[name][1], numbers(term, contract, "scale")
        if key == "commands_scale":
            scales[key] = values
        elif key is not None:
            scales[key] = values[0]
    found: dict[str, Any] = {"observations": names, **scales}
    history, steps = contract.observation.history, max(lengths)
    if steps > 1 and history is not None:
        ages = list(range(steps))
        found["observations_history"] = ages if history.order == "newest_first" else ages[::-1]
        found["observations_history_priority"] = history.layout.removesuffix("_major")
    if contract.observation.clip is not None:
        found["clip_obs"] = contract.observation.clip[1]
    return found


def _raw_clip(contract: Contract) -> dict[str, Any]:
    clip, names = contract.action.raw_clip, contract.action_joint_names
    if clip is None:
        return {}
    bounds = [clip[name] if isinstance(clip, dict) else clip for name in names]
    return {f"clip_actions_{end}": [pair[i] for pair in bounds] for i, end in enumerate(("lower", "upper"))}
