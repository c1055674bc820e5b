"""How one and the same scene looks in a camera: what lies behind arm and objects, light, white balance, focus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from policy_port.errors import TaskError

Picture = NDArray[np.uint8]
COARSEST, FINEST = 3, 32
"""Fewest and most patches that a pattern has along one side of the picture."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What of an episode's pictures the scene itself does not tell."""

    table: NDArray[np.float32] | None
    """By how much the table is brighter at each pixel and colour, of 1, shape (rows, columns, 3); None: it is plain."""
    gain: NDArray[np.float32]
    """By how much each colour of the picture is brighter, of 1, shape (3,)."""
    blur: float
    """Standard deviation of a point [pixels]."""

    @property
    def plain(self) -> bool:
        """Whether it changes nothing."""
        return self.table is None and bool((self.gain == 1.0).all()) and self.blur == 0.0

    def see(self, drawn: Picture, behind: NDArray[np.bool_], background: Picture | None) -> Picture:
        """The picture of a scene.

        Args:
            drawn: As the simulation draws it, RGB, shape (rows, columns, 3).
            behind: Where neither robot nor objects are, shape (rows, columns).
            background: What is there; what is drawn, if None.
        """
        seen = drawn.astype(np.float32)
        if background is not None:
            seen[behind] = background[behind]
        elif self.table is not None:
            seen[behind] *= self.table[behind]
        seen *= self.gain
        if self.blur > 0.1:
            seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), self.blur), np.float32)
        return np.clip(seen + 0.5, 0.0, 255.0).astype(np.uint8)


def pattern(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """Boards or blotches, and grain: brightness by colour, of mean 0 and standard deviation 1.

    Args:
        rng: Draws it.
        size: Rows and columns.
    """
    across, down = np.exp(rng.uniform(np.log(COARSEST), np.log(FINEST), 2))
    if rng.random() < 0.5:
        # Boards: they vary across, and hardly along.
        down = 1.0
    coarse = rng.normal(size=(max(1, round(down)), max(2, round(across)), 3))
    coarse = rng.uniform(0.2, 1.0) * coarse.mean(axis=2, keepdims=True) + 0.12 * coarse
    # Twice as large, so that turning it leaves no corner empty.
    rows, columns = size
    wide = cv2.resize(
        coarse, (2 * columns, 2 * rows), interpolation=int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_CUBIC]))
    )
    turn = cv2.getRotationMatrix2D((columns, rows), float(rng.uniform(0.0, 360.0)), 1.0)
    turn[:, 2] -= columns / 2, rows / 2
    turned = cv2.warpAffine(wide, turn, (columns, rows), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    turned += rng.uniform(0.0, 0.3) * rng.normal(size=(rows, columns, 1))
    return ((turned - turned.mean()) / max(1e-6, float(turned.std()))).astype(np.float32)


def draw_look(rng: np.random.Generator, drawn: Any, size: tuple[int, int]) -> Look:
    """A look.

    Args:
        rng: Draws it.
        drawn: `pattern`, `gain`, `white_balance` and `blur` of a `Randomisation`.
        size: Rows and columns of the pictures.
    """
    table = 1.0 + rng.uniform(0.0, 1.0) * drawn.pattern * pattern(rng, size) if drawn.pattern else None
    gain = (1.0 + rng.uniform(-1, 1) * drawn.gain) * (1.0 + rng.uniform(-1, 1, 3) * drawn.white_balance)
    return Look(table=table, gain=gain.astype(np.float32), blur=float(rng.uniform(0.0, 1.0) * drawn.blur))


def read_background(path: str | Path, size: tuple[int, int]) -> Picture:
    """A green screen's picture, RGB.

    Raises:
        TaskError: When it is no picture, or of another size than the camera's.
    """
    read = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if read is None:
        raise TaskError(f"greenscreen_overlay_path {path}: is no picture that OpenCV reads")
    if read.shape[:2] != size:
        raise TaskError(
            f"greenscreen_overlay_path {path}: is {read.shape[1]}x{read.shape[0]}, the camera's picture "
            f"{size[1]}x{size[0]}; make it with `policy-port camera background`, which crops and resizes it"
        )
    return np.array(read[..., ::-1], np.uint8)


def looked_at(looks: list[Look], shown: torch.Tensor, behind: torch.Tensor, background: Picture | None) -> torch.Tensor:
    """Every environment's picture, shape (num_envs, rows, columns, 3), in its own look."""
    pictures, masks = shown.cpu().numpy(), behind.cpu().numpy()
    rows = zip(looks, pictures, masks, strict=True)
    seen = [look.see(drawn, mask, background) for look, drawn, mask in rows]
    return torch.from_numpy(np.stack(seen)).to(shown.device)
