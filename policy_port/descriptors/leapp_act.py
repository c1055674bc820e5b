"""What becomes of a network's output under a contract, as a model of LEAPP: from the raw action to joint targets.

It goes the way of the control loop: raw_clip, delay, filter of raw, then scale, offset and clip, filter of target.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from policy_port.contract import Contract
from policy_port.contract.actions import JointAction
from policy_port.contract.shaping import ActionFilter, FirstOrder
from policy_port.contract.term import UNBOUNDED
from policy_port.descriptors.leapp_graph import Model
from policy_port.descriptors.leapp_observe import WHAT, joint_input
from policy_port.errors import ContractError

MODEL = "targets"
_METHODS = {
    "position": ("joint_pos", "target/joint/position", "set_joint_position_target_index"),
    "velocity": ("joint_vel", "target/joint/velocity", "set_joint_velocity_target_index"),
    "effort": ("joint_effort", "target/joint/effort", "set_joint_effort_target_index"),
}
_GAINS = {"stiffness": "kp", "damping": "kd"}


def targets_model(contract: Contract, read_back: Collection[str]) -> Model:
    """The model.

    Args:
        contract: The contract.
        read_back: Which of last_action, filtered_action and joint_target the observation reads a step later.

    Raises:
        ContractError: Naming what is not written into it.
    """
    for key in contract.action.inner:
        raise ContractError(
            f"contract '{contract.name}': action.{key} is not written into {WHAT}, whose runner is asked once in a "
            "control step; only a plant's inner loop does that"
        )
    return _Targets(contract).model_of(read_back)


class _Targets:
    def __init__(self, contract: Contract) -> None:
        self.model, self.contract = Model(MODEL), contract

    def model_of(self, read_back: Collection[str]) -> Model:
        model, contract = self.model, self.contract
        size = contract.action_size
        raw = model.read("actions", size)
        raw = model.bounded(raw, list(zip(*contract.raw_bounds, strict=True)))
        if "last_action" in read_back:
            model.write("last_action_out", raw, size)
        raw = self._reshaped(raw)
        if "filtered_action" in read_back:
            model.write("filtered_action_out", raw, size)
        target = self._smoothed(self._target(raw))
        names = contract.action_joint_names
        first, taken = 0, dict[str, int]()
        for term in contract.action.terms:
            joints = contract.action_joints(term)
            columns = list(range(first, first + len(joints)))
            self._write(model.chosen(target, columns, size), term.drive, joints, taken)
            first += len(joints)
        held = [name for name in contract.joint_names if name not in names]
        whole = target
        if held:
            start = self._positions(held)
            kept = model.at_first(start, model.state("held_joint_pos", len(held)))
            model.carry("held_joint_pos", kept, len(held))
            self._write(kept, "position", held, taken)
            whole = model.joined([target, kept])
        if "joint_target" in read_back:
            order = [(*names, *held).index(name) for name in contract.joint_names]
            model.write("joint_target_out", model.chosen(whole, order, len(order)), len(order))
        self._gains()
        return model

    def _positions(self, names: Collection[str]) -> str:
        """Measured positions of joints [SI]."""
        order = self.contract.joint_names
        measured = joint_input(self.model, self.contract, "joint_pos")
        return self.model.chosen(measured, [order.index(name) for name in names], len(order))

    def _reshaped(self, raw: str) -> str:
        """Behind delay and filter of raw."""
        model, action, size = self.model, self.contract.action, self.contract.action_size
        if action.late.steps:
            before = raw if action.late.fill == "first" else None
            raw = model.aged(model.past("action_delay", raw, size, action.late.steps, before), action.late.steps, size)
        if action.filter is not None and action.filter.of == "raw":
            raw = self._filtered(action.filter, raw, raw if action.filter.held == "first" else None)
        return raw

    def _filtered(self, stated: ActionFilter, value: str, before: str | None) -> str:
        """Behind a filter; `before` is what it holds at reset, zeros if None."""
        model, size = self.model, self.contract.action_size
        if isinstance(stated, FirstOrder):
            weight = stated.weight(self.contract.control_dt)
            kept = model.state("filter", size)
            kept = kept if before is None else model.at_first(before, kept)
            kept = model.scaled(kept, [1.0 - weight])
            value = model.do("Add", model.scaled(value, [weight]), kept)
            model.carry("filter", value, size)
            return value
        whole = model.past("filter", value, size, stated.steps - 1, before)
        parts = [model.aged(whole, age, size) for age in range(stated.steps)]
        return model.scaled(model.do("Sum", *parts), [1.0 / stated.steps])

    def _target(self, raw: str) -> str:
        """Targets [SI], action order, before their filter."""
        model, contract = self.model, self.contract
        pairs = [(term, name) for term in contract.action.terms for name in contract.action_joints(term)]
        units = [term.per_si(contract, name) for term, name in pairs]
        gains = [term.entry("scale", name) / unit for (term, name), unit in zip(pairs, units, strict=True)]
        shifts = [term.zero(contract, name) / unit for (term, name), unit in zip(pairs, units, strict=True)]
        target = model.scaled(raw, gains, shifts)
        for adds, value in (("joint_pos", self._measured), ("joint_target", self._before)):
            mine = [float(term.adds_to == adds) for term, _ in pairs]
            if any(mine):
                target = model.do("Add", target, model.scaled(value(), mine))
        if any(term.adds_to == "motion" for term, _ in pairs):
            raise ContractError(
                f"contract '{contract.name}': an action around a reference motion is not written into {WHAT}, which "
                "has no clip"
            )
        clips = [_clip(term, name, unit) for (term, name), unit in zip(pairs, units, strict=True)]
        return model.bounded(target, clips)

    def _measured(self) -> str:
        return self._positions(self.contract.action_joint_names)

    def _before(self) -> str:
        """The targets of the step before; the measured positions in the first."""
        kept = self.model.state("target", self.contract.action_size)
        return self.model.at_first(self._start(), kept)

    def _start(self) -> str:
        """Where joints stand; 0 where targets are no positions."""
        drives = self.contract.drives
        return self.model.scaled(
            self._measured(), [float(drives[name] == "position") for name in self.contract.action_joint_names]
        )

    def _smoothed(self, target: str) -> str:
        stated, contract = self.contract.action.filter, self.contract
        if stated is not None and stated.of == "target":
            before = target if stated.held == "first" else self._start()
            if stated.held == "default":
                poses = [
                    joint.default / contract.per_si(name) * (contract.drives[name] == "position")
                    for name, joint in ((name, contract.joints[name]) for name in contract.action_joint_names)
                ]
                before = self.model.constant(poses)
            target = self._filtered(stated, target, before)
        if "target_in" in self.model.fed:
            self.model.carry("target", target, contract.action_size)
        return target

    def _write(self, value: str, drive: str, joints: Collection[str], taken: dict[str, int]) -> None:
        name, kind, method = _METHODS[drive]
        taken[name] = taken.get(name, 0) + 1
        label = name if taken[name] == 1 else f"{name}_{taken[name]}"
        said: dict[str, Any] = {"kind": kind, "element_names": [list(joints)]}
        self.model.write(label, value, len(joints), **said, isaaclab_connection=f"write:robot:{method}")

    def _gains(self) -> None:
        """Stiffness and damping of the joints that state them, as outputs that never change."""
        for key, kind in _GAINS.items():
            stated = {name: getattr(joint, key) for name, joint in self.contract.joints.items()}
            stated = {name: float(value) for name, value in stated.items() if value is not None}
            if stated:
                said = {"kind": kind, "element_names": [list(stated)]}
                said["isaaclab_connection"] = f"write:robot:write_joint_{key}_to_sim_index"
                value = self.model.constant(list(stated.values()))
                self.model.write(f"joint_pos_{kind}_gains", value, len(stated), **said)


def _clip(term: JointAction, name: str, unit: float) -> tuple[float, float]:
    low, high = term.entry("clip", name) or UNBOUNDED
    return low / unit, high / unit
