"""IO descriptors as Isaac Lab exports them beside a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from policy_port.contract import Contract
from policy_port.contract.term import Term
from policy_port.descriptors.isaac_lab_terms import TERMS
from policy_port.descriptors.outwards.given import Given, gains, not_written, numbers, unknown_term

KIND = "isaac_lab"
MAIN = ("IO_descriptors.yaml",)
WHAT = "IO descriptors of Isaac Lab"
READS = frozenset[str]()

_MODULE = "isaaclab.envs.mdp"
NAMES = {term: name for name, term in TERMS.items() if name != "joint_vel"} | {"velocity_command": "generated_commands"}
_ACTIONS = {
    "joint_position": "JointPositionAction",
    "joint_position_delta": "RelativeJointPositionAction",
    "joint_velocity": "JointVelocityAction",
    "joint_effort": "JointEffortAction",
}


def files(contract: Contract, given: Given) -> dict[str, Any]:
    """One file."""
    joints = contract.joints.values()
    robot: dict[str, Any] = {
        "joint_names": list(contract.joint_names),
        "default_joint_pos": [joint.default for joint in joints],
    }
    driven = gains(contract, WHAT)
    robot |= {f"default_joint_{key}": values for key, values in driven.items()}
    if all(joint.armature is not None for joint in joints):
        robot["default_joint_armature"] = [joint.armature for joint in joints]
    if all(joint.lower is not None and joint.upper is not None for joint in joints):
        robot["default_joint_pos_limits"] = [[joint.lower, joint.upper] for joint in joints]
    described = {
        "actions": [_action(contract, term) for term in contract.action.terms],
        "articulations": {"robot": robot},
        "observations": {"policy": [_term(contract, term) for term in contract.observation.terms]},
        "scene": {
            "decimation": contract.decimation,
            "dt": contract.control_dt,
            "physics_dt": contract.timestep,
        },
    }
    return {MAIN[0]: described}


def said(contract: Contract) -> dict[str, Any]:
    """What the file leaves open: a command of three numbers may be a velocity or a point."""
    terms = enumerate(contract.observation.terms)
    return {f"observation.terms.{i}.term": term.term for i, term in terms if term.term == "velocity_command"}


def options(contract: Contract, folder: Path) -> dict[str, Any]:
    """The file says all."""
    return {}


def _action(contract: Contract, term: Any) -> dict[str, Any]:
    joints = list(contract.action_joints(term))
    if term.term not in _ACTIONS:
        raise not_written(contract, f"action term '{term.term}'", WHAT, _ACTIONS)
    clips = [term.entry("clip", name) for name in joints]
    return {
        "action_type": "JointAction",
        "clip": None if None in clips else [list(clip) for clip in clips],
        "full_path": f"{_MODULE}.actions.joint_actions.{_ACTIONS[term.term]}",
        "joint_names": joints,
        "name": term.term,
        "offset": [term.zero(contract, name) for name in joints],
        "scale": [term.entry("scale", name) for name in joints],
        "shape": [len(joints)],
    }


def _term(contract: Contract, term: Term) -> dict[str, Any]:
    if term.term not in NAMES:
        raise unknown_term(contract, term, WHAT, NAMES)
    elements = list(term.elements(contract))
    clips = [term.entry("clip", element) for element in elements]
    alike = all(clip == clips[0] for clip in clips)
    overloads: dict[str, Any] = {
        "clip": None if clips[0] is None else list(clips[0]) if alike else [list(clip) for clip in clips],
        "flatten_history_dim": True,
        "history_length": 0 if term.history == 1 else term.history,
        "modifiers": None,
        "noise": None,
        "scale": numbers(term, contract, "scale"),
    }
    found: dict[str, Any] = {
        "full_path": f"{_MODULE}.observations.{NAMES[term.term]}",
        "mdp_type": "Observation",
        "name": NAMES[term.term],
        "overloads": overloads,
        "shape": [len(elements)],
    }
    if hasattr(term, "joints"):
        found["joint_names"] = elements
    return found
