"""What of a contract plays as if it were right, whether it is or not: told, since a replay alone does not show it."""

from __future__ import annotations

from policy_port.contract.spec import Contract

LONG = 1.0
"""A delay of an action from this on is hardly a trained one [s]."""


def doubts(contract: Contract) -> list[str]:
    """A sentence for each number that nobody vouches for and no replay can tell."""
    delay = contract.action.late.seconds(contract.timestep, contract.decimation)
    if not delay:
        return []
    found = []
    if delay >= LONG:
        found.append(f"action.delay: the robot is told an action {delay:g} s after it, which is hardly a trained delay")
    said = {part.strip() for key in contract.sources for part in key.split(",")}
    if not said & {"action", "action.*", "action.delay"}:
        found.append(
            "action.delay: nothing says where it is from (sources), and it plays as if it were right, whether the "
            "training had it or not; a trace tells, with verify"
        )
    return found


def undriven(contract: Contract) -> tuple[str, ...]:
    """The joints that no action drives, and so stay at their default."""
    return tuple(name for name in contract.joint_names if name not in contract.action_joint_names)
