"""MuJoCo's own viewer, showing a robot that any plant moves."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from policy_port.errors import MissingDependencyError
from policy_port.plants.mujoco_twin import Twin


class Window:
    """A window on this machine's screen; the simulation runs elsewhere."""

    def __init__(self, twin: Twin, on_key: Callable[[int], None]) -> None:
        """Open the window.

        Args:
            twin: What is to be seen; it shows what was placed last.
            on_key: Called with GLFW's number of each key.

        Raises:
            MissingDependencyError: When there is no screen.
        """
        import glfw

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not glfw.init():
                raise MissingDependencyError(
                    "--view mujoco opens a window, and there is no screen here (DISPLAY names none); --view browser "
                    "needs none"
                )
        import mujoco.viewer

        self._viewer = mujoco.viewer.launch_passive(twin.model, twin.data, key_callback=on_key)

    def show(self) -> bool:
        """Show what was placed; False where the window was closed."""
        if not self._viewer.is_running():
            return False
        self._viewer.sync()
        return True

    def close(self) -> None:
        """Close the window. Calling it twice is harmless."""
        self._viewer.close()
