"""A first camera pose from silhouettes: by CMA-ES near a start, or from anywhere around the arm."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from cmaes import CMA

from policy_port.arrays import Array
from policy_port.camera.silhouette import Mask, Overlap
from policy_port.camera.view import View

SPREAD = np.array([0.03, 0.03, 0.03, 0.05, 0.05, 0.05])
"""First spread of the search along and about each axis [m, rad]."""
FOV_SPREAD = 0.08
"""The same of the field of view [rad]."""
FURTHEST = 6.0
"""How far out the search goes [spreads]."""


def nearby(overlap: Overlap, view: View, *, evaluations: int, fov: bool = False, seed: int = 0) -> View:
    """The view near `view` whose silhouettes overlap most with the masks.

    Args:
        overlap: The pictures.
        view: Some centimetres and degrees off.
        evaluations: How many views are tried, about.
        fov: Whether the field of view is searched for too.
        seed: Seed of the search.
    """
    spread = np.append(SPREAD, FOV_SPREAD) if fov else SPREAD
    # The camera is turned about the arm, too: what moves it aside and turns it back is one step, not two.
    distance = max(0.05, float(np.median((overlap.points.reshape(-1, 3) - view.position) @ view.forward)))

    def placed(numbers: Array) -> View:
        change = numbers * spread
        aside = view.matrix.T @ change[:3]
        turn = change[3:6] + np.array([0.0, aside[2] / distance, -aside[1] / distance])
        lens = {"fov": float(np.clip(view.fov + change[6], 0.05, 2.8))} if fov else {}
        return view.moved(change[:3], turn, **lens)

    count = len(spread)
    search = CMA(mean=np.zeros(count), sigma=1.0, bounds=np.tile([-FURTHEST, FURTHEST], (count, 1)), seed=seed)
    best, lowest = view, 1.0 - float(overlap.of(view).mean())
    for _ in range(max(1, evaluations // search.population_size)):
        told = []
        for _ in range(search.population_size):
            numbers = search.ask()
            tried = placed(numbers)
            cost = 1.0 - float(overlap.of(tried).mean())
            told.append((numbers, cost))
            if cost < lowest:
                best, lowest = tried, cost
        search.tell(told)
        if search.should_stop():
            break
    return best


def anywhere(overlap: Overlap, lens: View, *, keep: int) -> list[View]:
    """The most promising views from all around an arm, best first.

    Args:
        overlap: The pictures, coarse.
        lens: A view with the field of view, size and principal point.
        keep: How many.
    """
    tried = [(float(overlap.of(view).mean()), view) for view in _around(overlap, lens)]
    tried.sort(key=lambda item: -item[0])
    return [view for _, view in tried[:keep]]


def _around(overlap: Overlap, lens: View) -> Iterator[View]:
    cloud = overlap.points.reshape(-1, 3)
    middle = cloud.mean(axis=0)
    there = _centre(overlap.masks)
    wanted = math.sqrt(float(overlap.masks.sum(axis=(1, 2)).mean()))
    fields = {"fov": lens.fov, "size": lens.size, "principal": lens.principal, "distortion": lens.distortion}
    for elevation in np.radians([5.0, 25.0, 45.0, 65.0, 85.0]):
        for azimuth in np.radians(np.arange(0.0, 360.0, 20.0)):
            level = math.cos(elevation)
            out = np.array([level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation)])
            for roll in np.radians([0.0, 90.0, 180.0, 270.0]):
                distance, view = 0.7, None
                for _ in range(3):
                    view = View.looking_at(middle + distance * out, middle, roll=roll, **fields)
                    drawn = overlap.drawn(view)
                    view = _turned(view, (_centre(drawn) - there) / view.resized(overlap.size).focal)
                    seen = math.sqrt(float(drawn.sum(axis=(1, 2)).mean()))
                    distance = float(np.clip(distance * max(seen, 1.0) / max(wanted, 1.0), 0.15, 5.0))
                assert view is not None
                yield view


def _centre(masks: Mask) -> Array:
    """Column and row about which all masks lie together, shape (2,)."""
    pixels = masks.sum(axis=0)
    places = [pixels.sum(axis=axis) @ np.arange(pixels.shape[1 - axis]) for axis in (0, 1)]
    return np.array(places) / max(1, pixels.sum())


def _turned(view: View, off: Array) -> View:
    """The view turned so that what is seen lies `off` less far right and down, shape (2,), in focal lengths."""
    return view.moved(turn=[0.0, math.atan(off[1]), -math.atan(off[0])])
