"""MuJoCo's renderer, which leaves other renderers of the process alone when it goes."""

from __future__ import annotations

import mujoco


class Renderer(mujoco.Renderer):
    """What it has drawn with is freed in its own context.

    MuJoCo frees in whichever context is current, by number: another renderer would lose shapes without a word.
    """

    def close(self) -> None:
        """Free the graphics context. Calling it twice is harmless."""
        if self._gl_context is not None:
            self._gl_context.make_current()
        super().close()
