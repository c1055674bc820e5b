"""How the target of each joint comes about, as numbers by name."""

from __future__ import annotations

from dataclasses import dataclass

from policy_port.contract.spec import Contract
from policy_port.contract.term import UNBOUNDED, Bounds


@dataclass(frozen=True, kw_only=True)
class JointTarget:
    """How a joint's target comes about [SI]: clip(reference + gain * raw + bias)."""

    gain: float
    """Target per raw action."""
    bias: float
    """Target at raw action zero, or what is added."""
    reference: str
    """What it is added to, as `JointAction.adds_to` says."""
    clip: Bounds
    """Bounds of the target."""


HELD = JointTarget(gain=0.0, bias=0.0, reference="joint_target", clip=UNBOUNDED)
"""Of a joint that the action does not drive: it keeps the target that it has from reset, its start position."""


def joint_targets(contract: Contract) -> dict[str, JointTarget]:
    """How the target of each joint that the action drives comes about, by name and in the action's order.

    Raises:
        ContractError: When a joint is in a unit that has no fixed ratio to SI.
    """
    targets: dict[str, JointTarget] = {}
    for term in contract.action.terms:
        for name in contract.action_joints(term):
            unit = term.per_si(contract, name)
            low, high = term.entry("clip", name) or UNBOUNDED
            targets[name] = JointTarget(
                gain=term.entry("scale", name) / unit,
                bias=term.zero(contract, name) / unit,
                reference=term.adds_to,
                clip=(low / unit, high / unit),
            )
    return targets
