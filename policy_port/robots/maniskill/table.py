"""What a task's episodes are about, on an emulated arm's table: laid where the task's seed has it."""

from __future__ import annotations

from typing import Any

from policy_port.robots.emulator import EmulatedArm
from policy_port.robots.emulator.lens import SceneObject


class Table:
    """The ball of the reach task; of other tasks nothing is laid, as no emulated arm could grasp it."""

    def __init__(self, base: Any) -> None:
        """Look at what a task has.

        Args:
            base: The task without its wrappers.
        """
        from policy_port.tasks.so100_ball_env import BALL, BALL_RADIUS, SO100ReachBallEnv

        self._base, self._arms = base, list[EmulatedArm]()
        known = isinstance(base, SO100ReachBallEnv)
        self.things = (SceneObject(name="ball", kind="ball", size=BALL_RADIUS, colour=BALL),) if known else ()
        """What lies there, for the arm's `Outlook`."""

    def of(self, arm: EmulatedArm) -> None:
        """Lay on this arm's table from now on."""
        self._arms.append(arm)

    def lay(self) -> bool:
        """Lay everything where the task's present episode has it; whether there was an emulated table for it."""
        for thing in self.things:
            # World and base frame coincide in this task.
            x, y, z = getattr(self._base, thing.name).pose.p[0].tolist()
            for arm in self._arms:
                arm.place(thing.name, (x, y, z))
        return bool(self.things and self._arms)
