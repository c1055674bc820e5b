"""Why an arm was stopped, what may still be done with it, and where it was left."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from policy_port.errors import PolicyPortError, RobotError


class ArmStopError(RobotError):
    """The arm must not go on."""

    exit_code = 1

    def __init__(self, reason: str, *, may_move: bool, of_motion: bool = False) -> None:
        """Say why.

        Args:
            reason: What happened, in words.
            may_move: Whether the arm can still be led back to its rest pose. False where servos, sensors or the line
                can't be relied on: torque goes off where the arm is.
            of_motion: Whether what was asked of the arm brought it about, such as a joint that stays behind: nothing is
                broken, and another episode may be tried.
        """
        super().__init__(reason)
        self.may_move, self.of_motion = may_move, of_motion


class OperatorStopError(ArmStopError):
    """Somebody asked for the end: Ctrl-C, SIGTERM, a closed terminal."""

    exit_code = 130

    def __init__(self, signal_name: str) -> None:
        super().__init__(f"stopped by {signal_name}", may_move=True)


class LineError(ArmStopError):
    """The servos can't be reached. The arm may move again once they can: whoever leads it to rest asks again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, may_move=True)


class StopsInARowError(ArmStopError):
    """Episode after episode was stopped: nothing more is asked of the arm, which has ended already."""

    def __init__(self, count: int, last: str) -> None:
        super().__init__(f"stopped {count} times in a row, the last time because {last}", may_move=False)


class Left(Enum):
    """How an arm was left, as a sentence says it."""

    AT_REST = "at rest, torque off"
    WHERE_IT_WAS = "torque off where it was"
    UNDER_TORQUE = "torque not confirmed off on {}: switch the arm's power supply off"


@dataclass(frozen=True)
class Ending:
    """Where an arm was left."""

    at_rest: bool
    """In its rest pose, or never moved."""
    trouble: str
    """What kept it from there on the way; empty where nothing did or nobody tried."""
    silent: tuple[str, ...]
    """Motors that have not confirmed that their torque is off."""

    @property
    def left(self) -> Left:
        """How the arm was left: torque that nobody confirmed off comes before all else."""
        if self.silent:
            return Left.UNDER_TORQUE
        return Left.AT_REST if self.at_rest else Left.WHERE_IT_WAS

    def __str__(self) -> str:
        if self.silent:
            return self.left.value.format(", ".join(self.silent))
        return self.left.value + (f"; on the way to rest: {self.trouble}" if self.trouble else "")


class Ended(Enum):
    """What ended a run."""

    DONE = "the task was done"
    BY_OPERATOR = "somebody asked for it"
    STOPPED = "the arm could not go on"
    BUG = "an error in the program"


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, and where it left the arm."""

    stop: BaseException | None
    """What ended it; None where the task was done."""
    arm: Ending
    """Where the arm was left."""

    @property
    def ended(self) -> Ended:
        """What ended it."""
        if self.stop is None:
            return Ended.DONE
        if isinstance(self.stop, OperatorStopError | KeyboardInterrupt):
            return Ended.BY_OPERATOR
        return Ended.STOPPED if isinstance(self.stop, PolicyPortError) else Ended.BUG

    @property
    def sentence(self) -> str:
        """What ended it, in words."""
        return "task done" if self.stop is None else reason(self.stop)

    @property
    def exit_code(self) -> int:
        """0 when the task was done and the arm rests, 130 when somebody ended it, else 1."""
        if self.ended is Ended.DONE:
            return 0 if self.arm.left is Left.AT_REST else 1
        return 130 if self.ended is Ended.BY_OPERATOR else 1


def reason(cause: BaseException) -> str:
    """What an exception says; a bug with its kind."""
    return str(cause) if isinstance(cause, PolicyPortError) else f"{type(cause).__name__}: {cause}"
