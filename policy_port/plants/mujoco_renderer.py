"""MuJoCo's renderer, which leaves other renderers of the process alone when it goes."""

from __future__ import annotations

import functools

import mujoco

SOFTWARE = ("llvmpipe", "softpipe", "swrast")
"""Mesa's drivers that draw on the processor."""


class Renderer(mujoco.Renderer):
    """What it has drawn with is freed in its own context.

    MuJoCo frees in whichever context is current, by number: another renderer would lose shapes without a word.
    """

    def close(self) -> None:
        """Free the graphics context. Calling it twice is harmless."""
        if self._gl_context is not None:
            self._gl_context.make_current()
        super().close()


@functools.cache
def by_software() -> bool:
    """Whether pictures are drawn by the processor, where smooth edges take more than half of a picture's time."""
    context = mujoco.GLContext(1, 1)
    try:
        context.make_current()
        from OpenGL import GL

        return any(name in bytes(GL.glGetString(GL.GL_RENDERER) or b"").decode() for name in SOFTWARE)
    finally:
        context.free()
