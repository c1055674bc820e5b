"""Pictures side by side, each with a title."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def write_pictures(images: dict[str, NDArray[np.uint8]], path: Path) -> None:
    """Write images of one size into one file.

    Args:
        images: Images by title, each of shape (height, width, 3).
        path: The picture to write; its ending says the format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0 * len(images), 4.4), layout="constrained")
    for axes, (title, image) in zip(np.atleast_1d(figure.subplots(1, len(images))), images.items(), strict=True):
        axes.imshow(image)
        axes.set_title(title)
        axes.set_axis_off()
    figure.savefig(path, dpi=120)
