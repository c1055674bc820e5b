"""The ratio between a contract's joint units and the SI units that plants speak."""

from __future__ import annotations

from policy_port.contract.joints import UNIT_PER_SI
from policy_port.contract.spec import Contract
from policy_port.errors import ContractError


def per_si(contract: Contract, joint: str) -> float:
    """Contract units per radian or metre of a joint.

    Raises:
        ContractError: When the unit is percent, whose ratio only a mapping knows.
    """
    unit = contract.joints[joint].unit
    if unit == "percent":
        raise ContractError(
            f"joint '{joint}' of contract '{contract.name}' is in percent of its sweep, which no plant speaks; play "
            "the policy through the mapping that it was ported with"
        )
    return UNIT_PER_SI[unit]
