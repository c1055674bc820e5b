"""deploy.yaml as unitree_rl_lab's C++ controllers read it: gains in motor order, all else in the policy's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from policy_port.contract import Contract
from policy_port.contract.term import Term
from policy_port.descriptors.outwards.given import Given, gains, not_written, numbers, unknown_term
from policy_port.descriptors.unitree_rl_lab import ACTIONS, MOTION_TERMS, TERMS

KIND = "unitree_rl_lab"
MAIN = ("deploy.yaml",)
WHAT = "a deploy.yaml of unitree_rl_lab"
READS = frozenset({"names"})

NAMES = {term: name for name, term in reversed(TERMS.items())} | {name: name for name in MOTION_TERMS}
"""The first name that their controllers register for each kind."""
_PARAMS: dict[str, dict[str, Any]] = {
    "velocity_command": {"command_name": "base_velocity"},
    **{name: {"command_name": "motion"} for name in MOTION_TERMS},
}
_ACTION_NAMES = {term: name for name, term in ACTIONS.items()}


def files(contract: Contract, given: Given) -> dict[str, Any]:
    """deploy.yaml, and the names that it has no place for."""
    motors = given.motors(contract, KIND)
    names = list(contract.joint_names)
    driven = {key: dict(zip(names, values, strict=True)) for key, values in gains(contract, WHAT).items()}
    told = contract.command
    ranges = {key: told.element(key).range for key in ("lin_vel_x", "lin_vel_y", "ang_vel_z")}
    deploy = {
        "joint_ids_map": [motors.index(name) for name in names],
        "step_dt": contract.control_dt,
        **{key: [values[motor] for motor in motors] for key, values in driven.items()},
        "default_joint_pos": [joint.default for joint in contract.joints.values()],
        "commands": {"base_velocity": {"ranges": {key: list(r) if r else None for key, r in ranges.items()}}},
        "actions": _actions(contract),
        "observations": _observations(contract),
    }
    return {MAIN[0]: deploy, "names.yaml": {"joint_names": names, "motor_joint_names": list(motors)}}


def options(contract: Contract, folder: Path) -> dict[str, Any]:
    """What the import needs beside the file."""
    return {"names": folder / "names.yaml", "gains_order": "motor"}


def said(contract: Contract) -> dict[str, Any]:
    """The anchor of a motion and the way to it, which the controller's own source has."""
    motion = contract.model_dump(mode="json", exclude_none=True).get("motion", {})
    return {f"motion.{key}": motion[key] for key in ("anchor", "chain") if key in motion}


def _actions(contract: Contract) -> dict[str, Any]:
    found: dict[str, Any] = {}
    names = list(contract.joint_names)
    for action in contract.action.terms:
        name = _ACTION_NAMES.get(action.term)
        if name is None or name in found:
            again = " a second time" if name in found else ""
            raise not_written(contract, f"action term '{action.term}'{again}", WHAT, _ACTION_NAMES)
        joints = list(contract.action_joints(action))
        clip = [action.entry("clip", joint) for joint in joints]
        found[name] = {
            "clip": None if None in clip else [list(bounds) for bounds in clip],
            "joint_names": joints,
            "scale": [action.entry("scale", joint) for joint in joints],
            "offset": [action.zero(contract, joint) for joint in joints],
            "joint_ids": None if joints == names else [names.index(joint) for joint in joints],
        }
    return found


def _observations(contract: Contract) -> dict[str, Any]:
    found: dict[str, Any] = {}
    history = contract.observation.history
    if history is not None and history.layout == "time_major":
        found["use_gym_history"] = True
    for term in contract.observation.terms:
        if term.term not in NAMES:
            raise unknown_term(contract, term, WHAT, NAMES)
        name = NAMES[term.term]
        if name in found:
            raise unknown_term(contract, term, f"{WHAT} a second time", NAMES)
        found[name] = _term(contract, term)
    return found


def _term(contract: Contract, term: Term) -> dict[str, Any]:
    params: dict[str, Any] = dict(_PARAMS.get(term.term, {}))
    if term.term == "gait_phase":
        params["period"] = getattr(term, "period", None)
    joints = getattr(term, "joints", None)
    if joints and term.term in MOTION_TERMS:
        raise unknown_term(contract, term, f"{WHAT} for some joints", NAMES)
    if joints is not None:
        params["asset_cfg"] = {
            "name": "robot",
            "joint_names": list(joints),
            "joint_ids": [contract.joint_names.index(name) for name in joints],
            "preserve_order": True,
        }
    clips = [term.entry("clip", element) for element in term.elements(contract)]
    alike = all(clip == clips[0] for clip in clips)
    clip = clips[0] if alike else clips
    return {
        "params": params,
        "clip": None if clip is None else [list(each) for each in clip] if not alike else list(clip),
        "scale": numbers(term, contract, "scale"),
        "history_length": term.history,
    }
