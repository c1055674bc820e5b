"""The live view in MuJoCo's viewer: keys alone."""

from __future__ import annotations

from policy_port.live.view import Frame
from policy_port.live.wishes import PUSH, PUSH_LASTS, Wishes
from policy_port.plants.mujoco_twin import Twin
from policy_port.plants.mujoco_window import Window

UP, DOWN, LEFT, RIGHT = 265, 264, 263, 262
WALK = {UP: ("lin_vel_x", 1), DOWN: ("lin_vel_x", -1), LEFT: ("ang_vel_z", 1), RIGHT: ("ang_vel_z", -1)}
"""GLFW's numbers of the arrows, and the element that each moves by a tenth of its range."""


class WindowView:
    """MuJoCo's passive viewer on the screen of this machine."""

    address = (
        "view: MuJoCo's window; arrows walk and turn, comma and full stop step aside, 0 halts, P pushes, enter pauses, "
        "N does one step, backspace resets; Ctrl-C or closing it ends it"
    )

    def __init__(self, twin: Twin, wishes: Wishes) -> None:
        """Open the window.

        Raises:
            MissingDependencyError: When there is no screen.
        """
        self._wishes = wishes
        self._window = Window(twin, self.key)

    def key(self, code: int) -> None:
        """Do what a key stands for."""
        wishes = self._wishes
        if code in WALK:
            wishes.nudge(*WALK[code])
            return
        match chr(code) if 32 < code < 128 else code:
            case ",":
                wishes.nudge("lin_vel_y", 1)
            case ".":
                wishes.nudge("lin_vel_y", -1)
            case "0":
                wishes.halt()
            case "P":
                wishes.push(wishes.links[0], PUSH, PUSH_LASTS)
            case 257:
                wishes.paused = not wishes.paused
            case "N":
                wishes.step()
            case 259:
                wishes.reset()

    def show(self, frame: Frame) -> None:
        """Show one moment; closing the window ends the replay."""
        if not self._window.show():
            self._wishes.over = True

    def close(self) -> None:
        """Close the window."""
        self._window.close()
