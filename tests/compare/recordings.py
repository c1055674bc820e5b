"""Runs written by hand: a walk of four joints that follow sines, as `play` would have left it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.trace import Recorder
from tests.samples import LEGS

FREQUENCY = 1.25
PHASE = {name: 0.5 * number for number, name in enumerate(LEGS)}


def walk(
    folder: Path,
    *,
    names: tuple[str, ...] = LEGS,
    steps: int = 500,
    dt: float = 0.02,
    late: float = 0.0,
    speed: float = 0.5,
    envs: int = 1,
    fallen: int = 0,
    metrics: bool = True,
    rename: dict[str, str] | None = None,
    offset: dict[str, float] | None = None,
    header: dict[str, Any] | None = None,
) -> Path:
    """Record a walk, and the metrics.json beside it.

    Args:
        folder: Made here.
        names: Joints in the order of the columns, by the names of LEGS.
        steps: Length.
        dt: Control period [s].
        late: Time by which every joint is late [s].
        speed: Forward velocity at a command of 0.5 [m/s].
        envs: Environments, all alike.
        fallen: How many of them metrics.json counts as fallen.
        metrics: False leaves metrics.json out.
        rename: What the header calls a joint instead.
        offset: Added to the positions of a joint [rad].
        header: More for the header; None as a value takes an entry out.
    """
    folder.mkdir(parents=True)
    shown = [(rename or {}).get(name, name) for name in names]
    about = {
        "control_dt": dt,
        "joint_names": shown,
        "action_names": shown,
        "simulator": "mujoco 3",
        "contract": "toy",
        "contract_sha256": "a" * 64,
        **(header or {}),
    }
    with Recorder(folder / "trace.npz", {key: value for key, value in about.items() if value is not None}) as recorder:
        for step in range(steps):
            swing = np.array([np.sin(2 * np.pi * FREQUENCY * (step * dt - late) + PHASE[name]) for name in names])
            shift = np.array([(offset or {}).get(name, 0.0) for name in names])
            rows = np.ones((envs, 1))
            recorder.record(
                time=np.full(envs, step * dt),
                episode=np.zeros(envs, dtype=np.int64),
                joint_pos=rows * (0.3 * swing + shift),
                target=rows * (0.3 * swing + shift),
                action=rows * swing.astype(np.float32),
                effort=rows * np.array([3.0, -4.0, 0.0, 0.0]),
                base_lin_vel=rows * np.array([speed, 0.0, 0.0]),
                base_ang_vel=rows * np.zeros(3),
                command=rows * np.array([0.5, 0.0, 0.0]),
            )
    if metrics:
        document = {"setting": {}, "metrics": {"survival": steps * dt, "fallen": fallen}, "episodes": []}
        (folder / "metrics.json").write_text(json.dumps(document))
    return folder


def reach(folder: Path, *, seeds: range, good: int, steps: int = 40) -> Path:
    """Record episodes of a task one after the other; the first `good` of them succeed."""
    folder.mkdir(parents=True)
    about = {
        "control_dt": 0.05,
        "joint_names": list(LEGS),
        "simulator": "maniskill 3",
        "contract_sha256": "a" * 64,
        "episodes": [{"seed": seed, "env": 0, "episode": number} for number, seed in enumerate(seeds)],
    }
    with Recorder(folder / "trace.npz", about) as recorder:
        for number, seed in enumerate(seeds):
            for step in range(steps):
                recorder.record(
                    time=np.array([step * 0.05]),
                    episode=np.array([number]),
                    joint_pos=np.full((1, 4), seed + 0.01 * step),
                    action=np.full((1, 4), 0.1 * step),
                )
    rate = good / len(seeds)
    ended = [{"seed": seed, "success": number < good} for number, seed in enumerate(seeds)]
    (folder / "metrics.json").write_text(
        json.dumps({"setting": {}, "metrics": {"success_rate": rate}, "episodes": ended})
    )
    return folder
