"""Many environments on all cores of a machine: the recorded replay against the bare simulator's best.

MuJoCo's best is the quicker of the plant's threads and `mujoco.rollout`, which steps the same states without a policy;
a replay can't use the latter, as it tells neither the torques of drives nor the solver's warm start. SAPIEN's best is
the plant in processes. `speed.py --only scale` runs it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from mujoco import rollout

from policy_port.contract import Contract
from policy_port.control.controller import Controller
from policy_port.control.loop import SimulatedTime, run
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.port.pilot import Pilot
from policy_port.replay.goals import HeldGoals
from policy_port.replay.held import Held, HeldEpisodes
from policy_port.replay.recording import TraceObserver, trace_header
from policy_port.replay.velocity import FallRule
from policy_port.trace import Recorder

TARGET = 0.95
Robot = tuple[Contract, Path, str]
Turns = Callable[[dict[str, Callable[[], object]], int, int], dict[str, list[float]]]


def scale(robot: Robot, turns: Turns, rounds: int) -> None:
    """Print the ratios for 64 and 256 environments in MuJoCo, and 64 in SAPIEN."""
    cores = len(os.sched_getaffinity(0))
    print(f"\nrecorded replay over the bare simulator's best, {cores} cores, target at least {TARGET}")
    with tempfile.TemporaryDirectory() as folder:
        # So many steps that opening and closing a trace weigh as they do for a user, and a turn takes some seconds.
        for kind, count, steps, processes in (
            ("mujoco", 64, 200, 1),
            ("mujoco", 256, 100, 1),
            ("maniskill", 64, 100, cores),
        ):
            measure(robot, kind, (count, steps, processes), turns, rounds, Path(folder))


def measure(robot: Robot, kind: str, sizes: Sequence[int], turns: Turns, rounds: int, folder: Path) -> None:
    """One line: `sizes` are environments, control steps and processes."""
    contract, onnx, file = robot
    count, steps, processes = sizes
    setup = PlantSetup.from_contract(contract)
    with contextlib.closing(make_plant(kind, file, setup, num_envs=count, processes=processes)) as plant:
        controller = Controller(
            contract, Pilot(onnx=onnx, network_contract=contract).open(count), plant.joint_names, count
        )
        standing = FallRule(min_height=-np.inf, max_tilt=np.pi, text="never")
        header = trace_header(contract, simulator=plant.name, timestep=plant.timestep, decimation=contract.decimation)
        held = Held(command=(0.5, 0.0, 0.0), seconds=steps * contract.control_dt)
        targets: list[np.ndarray] = []
        numbers = itertools.count()

        def perform(*observers: Any) -> None:
            task = HeldEpisodes(held, HeldGoals(contract, {}), steps, count, standing)
            run(plant, controller, task, decimation=contract.decimation, clock=SimulatedTime(), observers=observers)

        def replay() -> None:
            with Recorder(folder / f"{kind}_{count}_{next(numbers)}.npz", header, durable=False) as recorder:
                perform(TraceObserver(recorder, contract.control_dt, count))

        def bare() -> None:
            plant.reset(controller.default_joint_pos())
            for target in targets:
                plant.write(target)
                plant.step(contract.decimation)

        perform(lambda plant, controller, target, started: targets.append(target.copy()))
        calls: dict[str, Callable[[], object]] = {"replay": replay, "plant": bare}
        with contextlib.ExitStack() as stack:
            if kind == "mujoco":
                calls["rollout"] = stack.enter_context(rolled(plant, contract.decimation, steps))
            times = turns(calls, rounds, 1)
    others = [name for name in times if name != "replay"]
    best = min(others, key=lambda name: statistics.median(times[name]))
    found = statistics.median(a / b for a, b in zip(times[best], times["replay"], strict=True))
    rates = ", ".join(f"{name} {count * steps / statistics.median(spent):.0f}" for name, spent in times.items())
    print(
        f"  {kind:<10}{count:>4} environments, control steps/s: {rates}; best {best}   ratio {found:.2f}"
        f"{'  ' if found >= TARGET else ' !'}",
        flush=True,
    )


@contextlib.contextmanager
def rolled(plant: Any, decimation: int, steps: int) -> Any:
    """As many physics steps of the plant's model and start by MuJoCo's own rollout, in C++ threads."""
    threads, kind = len(os.sched_getaffinity(0)), mujoco.mjtState.mjSTATE_FULLPHYSICS
    model, data = plant._model, plant._data
    start = np.zeros((len(data), mujoco.mj_stateSize(model, kind)))
    for row, each in zip(start, data, strict=True):
        mujoco.mj_getState(model, each, row, kind)
    control = np.tile(data[0].ctrl, (len(data), decimation, 1))
    spare = [mujoco.MjData(model) for _ in range(threads)]
    with rollout.Rollout(nthread=threads) as pool:

        def call() -> None:
            state = start
            for _ in range(steps):
                states, _ = pool.rollout([model] * len(data), spare, state, control)
                state = np.ascontiguousarray(states[:, -1])

        yield call
