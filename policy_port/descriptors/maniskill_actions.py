"""ManiSkill's joint position controllers as action terms, and the gains that they set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import by_joint, decimal
from policy_port.errors import ContractError

if TYPE_CHECKING:
    from mani_skill.agents.controllers.pd_joint_pos import PDJointPosController
    from mani_skill.envs.sapien_env import BaseEnv

_NORMALISED = (-1.0, 1.0)


def add_action(env: BaseEnv, draft: Draft) -> None:
    """Add one action term per controller, in the order in which the action is cut."""
    from mani_skill.agents.controllers.pd_joint_pos import PDJointPosController, PDJointPosMimicController

    controllers = position_controllers(env)
    for name, controller in controllers.items():
        # Exactly these: controllers derived from them, such as those of end effectors, compute something else.
        if type(controller) not in (PDJointPosController, PDJointPosMimicController):
            fitting = [mode for mode in env.agent.supported_control_modes if "joint" in mode and "vel" not in mode]
            raise ContractError(
                f"control mode {env.control_mode}: controller '{name}' is a {type(controller).__name__}, and a "
                f"contract states joint positions only. Of this robot's modes these are: {', '.join(fitting) or 'none'}"
            )
    normalised = {name: bool(c.config.normalize_action) for name, c in controllers.items()}
    mixed = len(set(normalised.values())) > 1
    for name, controller in controllers.items():
        _add_term(name, controller, bounded_target=mixed and normalised[name], draft=draft)
        _add_gains(name, controller, draft)
    if all(normalised.values()):
        draft.put("action.raw_clip", list(_NORMALISED), "ManiSkill: normalised controllers clip the action to [-1, 1]")


def position_controllers(env: BaseEnv) -> dict[str, Any]:
    """The controllers by name, in the order of the action."""
    controller = env.agent.controller
    return dict(getattr(controller, "controllers", {"joints": controller}))


def _add_term(name: str, controller: PDJointPosController, *, bounded_target: bool, draft: Draft) -> None:
    config = controller.config
    joints = [controller.joints[int(i)].name for i in _driven(controller)]
    mimics = [joint.name for joint in controller.joints if joint.name not in joints]
    low, high = (_numbers(bound) for bound in _bounds(controller))
    scale, offset = [1.0] * len(joints), [0.0] * len(joints)
    if config.normalize_action:
        scale = [decimal((h - lo) / 2.0) for lo, h in zip(low, high, strict=True)]
        offset = [decimal((h + lo) / 2.0) for lo, h in zip(low, high, strict=True)]
    term: dict[str, Any] = {"term": "joint_position"}
    if config.use_delta:
        term = {"term": "joint_position_delta", "reference": "joint_target" if config.use_target else "joint_pos"}
    if joints != draft.joint_names:
        term["joints"] = joints
    term |= {"scale": by_joint(joints, scale), "offset": by_joint(joints, offset)}
    if bounded_target:
        if config.use_delta:
            raise ContractError(
                f"controller '{name}' clips its action and another does not; a contract can't state that"
            )
        # The whole action has no common clip; bounding an absolute target by what -1 and 1 lead to is the same.
        term["clip"] = by_joint(joints, [list(pair) for pair in zip(low, high, strict=True)])
    if config.interpolate:
        draft.note(f"controller '{name}' moves its target to the goal step by step within a period; the contract jumps")
    if mimics:
        draft.note(f"{', '.join(mimics)} follows {', '.join(joints)} in ManiSkill; the contract states the leader only")
    draft.action(
        term, f"ManiSkill: controller '{name}', {type(controller).__name__}: lower, upper, use_delta, use_target"
    )


def _driven(controller: PDJointPosController) -> list[int]:
    """Indices within the controller's joints of those that an action drives."""
    indices = getattr(controller, "control_joint_indices", None)
    return list(range(len(controller.joints))) if indices is None else [int(i) for i in indices]


def _bounds(controller: PDJointPosController) -> tuple[Any, Any]:
    """Lower and upper as configured, at full precision, else the joint limits."""
    count = len(_driven(controller))
    limits = controller._get_joint_limits()
    lower, upper = controller.config.lower, controller.config.upper
    return (
        limits[:, 0] if lower is None else np.broadcast_to(np.asarray(lower, dtype=np.float64), count),
        limits[:, 1] if upper is None else np.broadcast_to(np.asarray(upper, dtype=np.float64), count),
    )


def _add_gains(name: str, controller: PDJointPosController, draft: Draft) -> None:
    config = controller.config
    joints = [joint.name for joint in controller.joints]
    for key, value in (
        ("stiffness", config.stiffness),
        ("damping", config.damping),
        ("effort_limit", config.force_limit),
    ):
        values = np.broadcast_to(np.asarray(value, dtype=np.float64), len(joints))
        pairs = dict(zip(joints, _numbers(values), strict=True))
        draft.per_joint(
            key, pairs, f"ManiSkill: controller '{name}': {'force_limit' if key == 'effort_limit' else key}"
        )


def _numbers(values: Any) -> list[float]:
    return [float(value) for value in values]
