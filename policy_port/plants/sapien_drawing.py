"""The device that SAPIEN draws on: one in a process, named in one way."""

from __future__ import annotations

import functools
from typing import Any


def drawing_device() -> str:
    """`cuda` where there is a GPU, else `cpu`.

    Raises:
        RuntimeError: There is no Vulkan device that SAPIEN accepts.
    """
    import sapien

    try:
        sapien.Device("cuda")
    except RuntimeError:
        _stays()
        return "cpu"
    return "cuda"


@functools.cache
def _stays() -> Any:
    """A renderer that lives as long as the process.

    The last one takes its tables of light along; to integrate them anew for the next costs a software driver five
    seconds.
    """
    import sapien
    import sapien.render

    return sapien.render.RenderSystem(sapien.Device("cpu"))
