"""Plots for reports, as PNG."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

COLOURS = ("#1f5fa8", "#d1495b", "#3d8b5f", "#c98a00", "#7b5ea7", "#4f5d73")
"""Of what is drawn beside each other, in its order; more of it starts anew with broken lines."""


def line_style(number: int) -> dict[str, Any]:
    """How the line of that number looks, in matplotlib's keywords."""
    line = ("-", "--", ":")[number // len(COLOURS) % 3]
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": line, "linewidth": 1.0}


def draw_png(width: float, height: float, draw: Callable[[Any], None]) -> bytes:
    """Draw a figure in the reports' style.

    Args:
        width: Width [inch].
        height: Height [inch].
        draw: Called with the matplotlib figure.

    Returns:
        The PNG.
    """
    import matplotlib

    # Drawing into a file needs no screen, and the user's own backend stays as it is.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {
        "font.size": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.alpha": 0.25,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        draw(figure)
        return rasterised(canvas)


def rasterised(canvas: Any) -> bytes:
    """The PNG of a figure, laid out on its way: `savefig` would draw all of it once more for that."""
    stream = io.BytesIO()
    canvas.print_png(stream)
    return stream.getvalue()
