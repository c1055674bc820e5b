"""Why an arm was stopped, and what may still be done with it."""

from __future__ import annotations

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
    """The servos can't be reached."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, may_move=False)
