"""`camera solve` against cameras whose place is known: an SO100 drawn by MuJoCo, masks made worse, starts off.

    python benchmarks/camera_solve.py known 0 20     # field of view known; every fifth from pictures and a background
    python benchmarks/camera_solve.py zero 0 10      # one joint's zero off by 4 degrees: is it told?
    python benchmarks/camera_solve.py zeros 0 10     # the same, solved with --zeros
    python benchmarks/camera_solve.py fov 0 10       # field of view free, started 5 degrees off
    python benchmarks/camera_solve.py anywhere 0 10  # no start

A line of JSON for each set-up, then the counts. Truth is MuJoCo's rasteriser, the model in `camera/solve.py` is points
of the meshes that NumPy projects.
"""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import replace
from typing import Any

import cv2
import mujoco
import numpy as np

from policy_port.camera.links import Arm, Links
from policy_port.camera.masks import by_background, cleaned
from policy_port.camera.render import Twin
from policy_port.camera.silhouette import Shot
from policy_port.camera.solve import POINTS, Problem, solve
from policy_port.camera.view import View
from policy_port.errors import CameraError

PICTURES, SIZE = 8, (480, 640)
OFF, TURNED, ZERO = 0.05, math.radians(5.0), math.radians(4.0)
REACH = ((-0.8, 0.8), (-0.6, 1.0), (-1.0, 1.0), (-1.0, 1.0), (-1.2, 1.2), (-0.3, 1.0))


def table(spec: mujoco.MjSpec, _root: Any) -> None:
    """A table of wood: white plastic on a white floor is nobody's set-up."""
    for texture in spec.textures:
        if texture.name == "policy_port checker":
            texture.rgb1, texture.rgb2, texture.markrgb = [0.55, 0.42, 0.27], [0.50, 0.36, 0.22], [0.45, 0.33, 0.2]


class Scene:
    """Random set-ups of one arm."""

    def __init__(self) -> None:
        self.arm = Arm.load("so100")
        self.links = Links(self.arm, POINTS)
        self.twin = Twin(self.arm, add=table)

    def setup(self, seed: int, *, zero: str | None, pictures: bool) -> tuple[View, View, list[Shot]]:
        """The true view, one 5 cm and 5 degrees off, and what is known of the pictures."""
        random = np.random.default_rng(seed)
        azimuth, elevation = random.uniform(0.0, 2.0 * math.pi), math.radians(random.uniform(15.0, 60.0))
        out = np.array(
            [math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)]
        )
        target = np.array([0.0, -0.12, 0.1]) + random.normal(0.0, 0.03, 3)
        fov = math.radians(random.uniform(40.0, 65.0))
        position = target + random.uniform(0.5, 0.8) * out
        true = View.looking_at(position, target, roll=random.normal(0.0, 0.1), fov=fov, size=SIZE)
        shots = []
        for number in range(PICTURES):
            told = {name: float(random.uniform(*span)) for name, span in zip(self.arm.joints, REACH, strict=True)}
            stands = {name: value + (ZERO if name == zero else 0.0) for name, value in told.items()}
            mask = self._photographed(random, true, stands) if pictures else self._worse(random, true, stands)
            shots.append(Shot(name=f"{number}.png", joint_pos=told, mask=cleaned(mask)))
        shift, turn = random.normal(size=(2, 3))
        return true, true.moved(OFF * shift / np.linalg.norm(shift), TURNED * turn / np.linalg.norm(turn)), shots

    def _worse(self, random: np.random.Generator, view: View, stands: dict[str, float]) -> Any:
        """MuJoCo's mask, eroded or dilated by 1 to 3 pixels, 5 % of it torn out."""
        mask = self.twin.render(view, stands).mask.astype(np.uint8)
        reach = int(random.integers(1, 4))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        mask = np.asarray((cv2.erode if random.random() < 0.5 else cv2.dilate)(mask, disc))
        wanted = 0.95 * mask.sum()
        while mask.sum() > wanted:
            rows, columns = np.nonzero(mask)
            place = int(random.integers(len(rows)))
            cv2.circle(mask, (int(columns[place]), int(rows[place])), int(random.integers(2, 8)), 0, -1)
        return mask > 0

    def _photographed(self, random: np.random.Generator, view: View, stands: dict[str, float]) -> Any:
        """The mask of a picture with noise and another exposure, by its background's difference."""

        def noisy(picture: Any) -> Any:
            light = random.uniform(0.93, 1.07)
            return np.clip(light * picture + random.normal(0.0, 3.0, picture.shape), 0, 255).astype(np.uint8)

        return by_background(noisy(self.twin.rgb(view, stands)), noisy(self.twin.rgb(view, stands, bare=True)))


def tried(scene: Scene, part: str, seed: int) -> dict[str, Any]:
    """One set-up."""
    zero = scene.arm.joints[seed % len(scene.arm.joints)] if part in ("zero", "zeros") else None
    pictures = part == "known" and seed % 5 == 0
    true, start, shots = scene.setup(seed, zero=zero, pictures=pictures)
    if part == "fov":
        start = replace(start, fov=start.fov + math.radians(5.0 if seed % 2 else -5.0))
    row: dict[str, Any] = {"part": part, "seed": seed, "pictures": pictures, "zero": zero}
    began, cpu = time.perf_counter(), time.process_time()
    problem = Problem(
        links=scene.links, shots=shots, lens=start, near=part != "anywhere", fov=part == "fov", zeros=part == "zeros"
    )
    try:
        solved = solve(problem)
    except CameraError as error:
        return row | {"refused": str(error), "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    off = np.subtract(solved.view.position, true.position)
    away = math.degrees(solved.view.angle_to(true))
    return row | {
        "mm": 1e3 * float(np.linalg.norm(off)),
        "degrees": away,
        "fov": math.degrees(solved.view.fov - true.fov),
        "inside": bool((np.abs(off) <= solved.uncertainty.position_95).all()),
        "mm_95": [1e3 * value for value in solved.uncertainty.position_95],
        "overlap": solved.overlap,
        "zeros": {name: math.degrees(value) for name, value in solved.zeros.items()},
        "notes": solved.notes,
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
    }


def main(part: str, first: int, end: int) -> None:
    """Try set-ups and count."""
    scene, rows = Scene(), []
    for seed in range(first, end):
        rows.append(tried(scene, part, seed))
        print(json.dumps(rows[-1]), flush=True)
    scene.twin.close()
    done = [row for row in rows if "mm" in row]
    counts = {
        "tried": len(rows),
        "refused": len(rows) - len(done),
        "named the joint": sum(str(row["zero"]) in row.get("refused", "") for row in rows),
        "1 cm and 1 degree": sum(row["mm"] < 10.0 and row["degrees"] < 1.0 for row in done),
        "2 cm": sum(row["mm"] < 20.0 for row in done),
        "inside 95 %": sum(row["inside"] for row in done),
        "zeros to 0.5 degrees": sum(
            all(abs(value - 4.0 * (name == row["zero"])) < 0.5 for name, value in row["zeros"].items()) for row in done
        ),
        "worst mm": max((row["mm"] for row in done), default=None),
        "worst degrees": max((row["degrees"] for row in done), default=None),
        "worst seconds": max(row["seconds"] for row in rows),
        "worst CPU seconds": max(row["cpu"] for row in rows),
    }
    print(json.dumps(counts, indent=1))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
