#!/usr/bin/env python3
"""How fast a student without a base velocity believes to be, in one simulator and another.

    python benchmarks/distil_contacts.py RUN [RUN ...]

RUN is the folder of a `policy-port distil` from a teacher that reads base_lin_vel. The teacher drives; the velocity
that would have made it act as the student does, less the true one, is what the student errs by. Fitted over the true
velocity, its slope says by which share the student takes itself for slower or faster.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from policy_port.checkpoints import Actor, load_policy
from policy_port.contract.layout import observation_slots
from policy_port.plants.physics import Physics, set_physics
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.tasks.velocity import Noise, load_task
from policy_port.train.environment import PlantEnvironment
from policy_port.train.evaluate import ActorPolicy
from policy_port.train.run import Run, open_run
from policy_port.train.teacher import open_teacher

ENVS, STEPS, SETTLING, NUDGE = 12, 250, 30, 0.05
"""Environments, control steps, those at the start that do not count, and what the velocity is changed by [m/s]."""
SIMULATORS: tuple[tuple[str, str, dict[str, float]], ...] = (
    ("MuJoCo", "mujoco", {}),
    ("MuJoCo, contact_time 0.01 s", "mujoco", {"contact_time": 0.01}),
    ("MuJoCo, ground_friction 0.6", "mujoco", {"ground_friction": 0.6}),
    ("SAPIEN", "maniskill", {}),
)


def beliefs(run: Run, plant_name: str, physics: dict[str, float]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What the student errs by and the true velocity [m/s], each of shape (ENVS, 3), step by step."""
    contracts = {name: run.contract(name) for name in ("teacher", "student")}
    teacher = open_teacher(Path(run.record.source or ""), contracts["teacher"]).policy.actor
    columns = [n for n, s in enumerate(observation_slots(contracts["teacher"])) if s.term == "base_lin_vel"]
    student = ActorPolicy(load_policy(run.result()[0], kind="rsl_rl").actor, ENVS)
    plant = make_plant(
        plant_name, run.record.robot or "", PlantSetup.from_contract(contracts["teacher"]), num_envs=ENVS
    )
    task = load_task(run.path / "task.yaml").model_copy(update={"noise": Noise()})
    calm = task.model_copy(update={"randomisation": type(task.randomisation)()})
    environment = PlantEnvironment(plant, contracts, "teacher", calm, seed=5)
    if physics:
        given: dict[str, Any] = {name: np.full(ENVS, value) for name, value in physics.items()}
        set_physics(plant, Physics(**given))
    for step in range(STEPS):
        seen = environment.get_observations()
        student.observation[...] = seen["student"].numpy()
        action = _act(teacher, seen["teacher"])
        off = student.act() - action.numpy()
        if step >= SETTLING:
            slopes = _slopes(teacher, seen["teacher"], action, columns)
            fitted = [np.linalg.lstsq(one, way, rcond=None)[0] for one, way in zip(slopes, off, strict=True)]
            yield np.clip(np.stack(fitted), -2.0, 2.0), seen["teacher"][:, columns].numpy().copy()
        ended = environment.step(action)[2].numpy() > 0
        if ended.any():
            student.reset(ended)
    environment.close()


def _act(actor: Actor, seen: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return actor(seen)[0]


def _slopes(actor: Actor, seen: torch.Tensor, action: torch.Tensor, columns: list[int]) -> np.ndarray:
    """Change of the teacher's action over that of the velocity, shape (ENVS, actions, 3)."""
    found = []
    for column in columns:
        nudged = seen.clone()
        nudged[:, column] += NUDGE
        found.append(((_act(actor, nudged) - action) / NUDGE).numpy())
    return np.stack(found, -1)


def main() -> None:
    """Print a row a simulator."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("runs", nargs="+", type=Path)
    torch.set_num_threads(1)
    print("| student | simulator | forward, % | sideways, % | rms [m/s] |", "|---|---|---|---|---|", sep="\n")
    for folder in options.parse_args().runs:
        run = open_run(folder)
        for words, plant, physics in SIMULATORS:
            errs, true = (np.concatenate(parts) for parts in zip(*beliefs(run, plant, physics), strict=True))
            shares = [100.0 * np.polyfit(true[:, axis], errs[:, axis], 1)[0] for axis in (0, 1)]
            size = np.sqrt(np.square(errs[:, :2]).mean())
            print(f"| {folder} | {words} | {shares[0]:+.1f} | {shares[1]:+.1f} | {size:.3f} |", flush=True)


if __name__ == "__main__":
    main()
