"""Why an arm was stopped, what may still be done with it, and where it was left."""

from __future__ import annotations

from dataclasses import dataclass

from policy_port.errors import RobotError


class ArmStopError(RobotError):
    """The arm must not go on."""

    exit_code = 1

    def __init__(self, reason: str, *, may_move: bool) -> None:
        """Say why.

        Args:
            reason: What happened, in words.
            may_move: Whether the arm can still be led back to its rest pose. False where servos, sensors or the line
                can't be relied on: torque goes off where the arm is.
        """
        super().__init__(reason)
        self.may_move = may_move


class OperatorStopError(ArmStopError):
    """Somebody asked for the end: Ctrl-C, SIGTERM, a closed terminal."""

    exit_code = 130

    def __init__(self, signal_name: str) -> None:
        super().__init__(f"stopped by {signal_name}", may_move=True)


class LineError(ArmStopError):
    """The servos can't be reached. The arm may move again once they can: whoever leads it to rest asks again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, may_move=True)


@dataclass(frozen=True)
class Ending:
    """Where an arm was left."""

    at_rest: bool
    """In its rest pose, or never moved."""
    trouble: str
    """What kept it from there on the way; empty where nothing did or nobody tried."""
    silent: tuple[str, ...]
    """Motors that have not confirmed that their torque is off."""

    def __str__(self) -> str:
        if self.silent:
            return f"torque not confirmed off on {', '.join(self.silent)}: switch the arm's power supply off"
        where = "at rest, torque off" if self.at_rest else "torque off where it was"
        return where + (f"; on the way to rest: {self.trouble}" if self.trouble else "")
