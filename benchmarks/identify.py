"""How well `policy-port identify` does: hidden arms recovered, wrong models noticed, real recordings predicted.

    python benchmarks/identify.py arms --count 20 --out arms.json          # bars 1, 2 and 6 in MuJoCo
    python benchmarks/identify.py arms --count 2 --plant maniskill --out sapien.json
    python benchmarks/identify.py table arms.json
    python benchmarks/identify.py methods            # ways to search

Results are added to the file after each arm, so that a run can be taken up again. Real recordings are identified by
the command itself; `identify.md` has the lines.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.arrays import Array
from policy_port.control.plant import PlantState
from policy_port.dynamics.document import Dynamics
from policy_port.identify.fit import Predictor, Problem
from policy_port.identify.identify import Effort, Identified, find_misfits, identify
from policy_port.identify.parameters import Priors, Space, load_priors, make_space
from policy_port.identify.recording import Recording, make_recording
from policy_port.identify.segments import cut
from policy_port.identify.session import make_predictor
from policy_port.identify.setups import fitted_setup
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.robot_models.find import find_robot
from policy_port.robots.emulator.simulated import so100_setup

POSE = {
    "shoulder_pan": 0.0,
    "shoulder_lift": -0.4,
    "elbow_flex": 0.4,
    "wrist_flex": 0.3,
    "wrist_roll": 0.0,
    "gripper": 0.0,
}
"""About which the arm moves [rad]."""
SECONDS, RATE = 10.0, 50
"""Of each recording."""
FITTED, HELD = 6, 2
TICK = 2.0 * np.pi / 4096.0
LEFT_OUT = ("delay", "backlash", "gravity")


def stock() -> PlantSetup:
    """The SO100 as the emulated arm has it before anything is hidden in it."""
    return replace(so100_setup(POSE), timestep=0.005, control_dt=1.0 / RATE)


def hidden(seed: int) -> Dynamics:
    """An arm's hidden dynamics, drawn at random."""
    random = np.random.default_rng(seed)
    joints: dict[str, Any] = {}
    for name in POSE:
        stiffness = float(np.exp(random.uniform(np.log(8.0), np.log(40.0))))
        joints[name] = {
            "armature": random.uniform(0.01, 0.05),
            "damping": stiffness * random.uniform(0.06, 0.15),
            "friction": random.uniform(0.02, 0.12),
            "stiffness": stiffness,
            "drive_damping": 0.0,
            "effort_limit": random.uniform(2.0, 4.0),
            "backlash": np.deg2rad(random.uniform(0.2, 2.0)),
            "delay": random.uniform(0.005, 0.07),
            "offset": np.deg2rad(random.uniform(-3.0, 3.0)),
        }
    common = {"encoder_noise": random.uniform(0.0003, 0.001), "encoder_step": TICK}
    return Dynamics.model_validate(
        {"policy_port_dynamics": 1, "robot": {"file": "so100.urdf"}, "joints": joints, "common": common}
    )


def commands(kind: int, seed: int, time_: Array) -> Array:
    """One of several motions about the pose: sums of sines, steps, holds, sweeps [rad], shape (rows, 6)."""
    random = np.random.default_rng((seed, kind))
    count, reach = len(POSE), 0.45
    if kind % 3 == 0:
        phase, rate = random.uniform(0.0, 6.0, (count, 4)), random.uniform(0.4, 9.0, (count, 4))
        wave = 0.3 * reach * np.sin(time_[:, None, None] * rate + phase).sum(axis=-1)
    elif kind % 3 == 1:
        hold = random.uniform(0.4, 0.9)
        steps = random.uniform(-reach, reach, (2 + int(time_[-1] / hold), count))
        wave = steps[(time_ / hold).astype(int)]
    else:
        phase, size = random.uniform(0.0, 6.0, count), random.uniform(0.05, reach, count)
        wave = size * np.sin(2.0 * np.pi * (0.1 + 0.12 * time_[:, None]) * time_[:, None] + phase)
    return np.array(list(POSE.values())) + wave


def record(plant_kind: str, dynamics: Dynamics, kind: int, seed: int) -> Recording:
    """A motion of the arm with hidden dynamics: each row read, then commanded, then a control step passed."""
    setup = stock()
    plant = make_plant(plant_kind, "so100", setup, meshes=False, dynamics=[dynamics], seed=seed * 100 + kind)
    rows = np.arange(int(SECONDS * RATE)) / RATE
    order = [list(POSE).index(name) for name in plant.joint_names]
    command = commands(kind, seed, rows)[:, order]
    state, measured = PlantState.allocate(1, len(order)), np.empty_like(command)
    plant.reset(command[:1])
    for row in range(len(rows)):
        plant.read(state)
        measured[row] = state.joint_pos[0]
        plant.write(command[row : row + 1])
        plant.step(setup.decimation)
    names = plant.joint_names
    plant.close()
    return make_recording(f"motion {kind}", (find_robot("so100"),), names, (rows, measured, rows, command))


def arm(seed: int, plant: str, segments: int) -> dict[str, Any]:
    """Identify one hidden arm, and find the models that leave something out."""
    dynamics = hidden(seed)
    motions = [record(plant, dynamics, kind, seed) for kind in range(FITTED + HELD)]
    robot, setup = find_robot("so100"), stock()
    predictor, as_it_comes = (make_predictor(plant, robot, one, None) for one in (fitted_setup(robot, setup), setup))
    motions = [item.in_robot(predictor.joint_names, None) for item in motions]
    priors = load_priors("sts3215")
    space = make_space(priors, predictor.joint_names, as_it_comes.stock)
    began, spent = time.perf_counter(), _cpu()
    effort = Effort(horizon=1.0, segments=segments, rounds=8)
    found = identify(
        predictor, as_it_comes, space, (motions[:FITTED], motions[FITTED:]), effort,
        lambda text: print(f"{time.perf_counter() - began:.0f} s: {text}", file=sys.stderr, flush=True),
    )  # fmt: skip
    if plant == "maniskill":
        # Processes count once they have ended.
        for one in (predictor, as_it_comes):
            one.close()
    took = {"seconds": time.perf_counter() - began, "cpu_seconds": _cpu() - spent}
    result = {"seed": seed, "plant": plant, **took, **judged(found, dynamics)}
    if plant == "mujoco":
        result["noticed"] = {
            what: noticed(what, priors, found, motions[:FITTED], (predictor, as_it_comes)) for what in LEFT_OUT
        }
    return result


def _cpu() -> float:
    """CPU time of this process, and of those that it started and that have ended [s]."""
    return sum(os.times()[:4])


def judged(found: Identified, dynamics: Dynamics) -> dict[str, Any]:
    """What was found against what was hidden."""
    truth = {name: item.value for name, item in dynamics.estimates()}
    estimates = found.estimates
    rows = []
    for index, item in enumerate(estimates.space.parameters):
        low, high = estimates.interval[index]
        rows.append(
            {
                "name": item.name,
                "true": truth[item.name],
                "value": float(estimates.value[index]),
                "interval": [float(low), float(high)],
                "identified": estimates.identified[index],
            }
        )
    half = next(error for error in found.errors if error.horizon == 0.5)
    return {
        "parameters": rows,
        "held_out": {name: half.median(name) for name in half.recordings},
        "false_alarms": [str(item) for item in found.misfits],
    }


def noticed(
    what: str, priors: Priors, found: Identified, motions: list[Recording], simulators: tuple[Predictor, Predictor]
) -> list[str]:
    """Fit a model that lacks something, and return the joints whose misfit is noticed."""
    predictor, as_it_comes = simulators
    space: Space
    if what == "gravity":
        robot, setup = find_robot("so100"), replace(stock(), gravity_compensation=True)
        predictor = make_predictor("mujoco", robot, fitted_setup(robot, setup), None)
        space = make_space(priors, predictor.joint_names, as_it_comes.stock)
    else:
        lacking = priors.joint[what].model_copy(update={"fit": False, "prior": 0.0})
        without = priors.model_copy(update={"joint": {**priors.joint, what: lacking}})
        space = make_space(without, predictor.joint_names, as_it_comes.stock)
    segments = cut(motions, 0.5).some(30)
    weights = np.full(len(predictor.joint_names), 1.0 / 0.004)
    problem = Problem(predictor=predictor, segments=segments, weights=weights)
    z = problem.minimise(space, space.coordinates(found.estimates.values), 8)
    return [item.joint for item in find_misfits(predictor, space.values(z), motions)]


def methods(seed: int, segments: int) -> str:
    """Costs that ways to search reach for one hidden arm, and how many predictions of all segments each takes."""
    from cmaes import CMA

    from policy_port.identify import identify as whole

    robot, setup = find_robot("so100"), stock()
    predictor = make_predictor("mujoco", robot, fitted_setup(robot, setup), None)
    as_it_comes = make_predictor("mujoco", robot, setup, None)
    motions = [record("mujoco", hidden(seed), kind, seed).in_robot(predictor.joint_names, None) for kind in range(3)]
    space = make_space(load_priors("sts3215"), predictor.joint_names, as_it_comes.stock)
    problem, lag = whole._problem(predictor, motions, Effort(horizon=1.0, segments=segments))
    start, lines, asked = whole._start(problem, space, lag), [], [0]
    predict = predictor.predict

    def counted(columns: Any, *rest: Any) -> Array:
        asked[0] += len(columns)
        return predict(columns, *rest)

    predictor.predict = counted  # type: ignore[method-assign]
    truth = {name: item.value for name, item in hidden(seed).estimates()}
    true = np.array([item.coordinate(truth[item.name]) for item in space.parameters])
    done = problem.minimise(space, start, 12)
    problem = whole.weighed(problem, space, done)

    def told(label: str, z: Array) -> None:
        lines.append(f"{label}: cost {problem.cost(space, z):.0f}, {asked[0]} predictions")
        asked[0] = 0

    def evolved(z: Array, chosen: Any, most: int) -> Array:
        low, high = (end[chosen] for end in space.bounds)
        bounds = np.clip(np.stack([low, high], axis=1), -8.0, 8.0)
        search, best = CMA(mean=np.clip(z[chosen], *bounds.T), sigma=0.3, bounds=bounds, seed=0), (np.inf, z)
        while asked[0] < most:
            points = np.tile(z[:, None], (1, search.population_size))
            points[chosen] = np.stack([search.ask() for _ in range(search.population_size)], axis=1)
            costs = (problem.residuals(space, points) ** 2).sum(axis=0)
            search.tell([(points[chosen, index], float(cost)) for index, cost in enumerate(costs)])
            best = min((best, (float(costs.min()), points[:, costs.argmin()])), key=lambda item: item[0])
        return best[1]

    asked[0] = 0
    told("true numbers", true)
    told("least squares alone", problem.minimise(space, start, 12))
    found = problem.minimise(space, start, 12)
    for key, moves in whole.GRIDS.items():
        found = whole.profile(problem, space, found, key, moves).best
    found = problem.minimise(space, found, 6)
    budget = asked[0]
    told("least squares, delay and backlash on a grid once", found)
    few = np.array([index for index, item in enumerate(space.parameters) if item.key in whole.GRIDS])
    z = problem.minimise(space, start, 12)
    told("least squares, delay and backlash by CMA-ES, least squares",
         problem.minimise(space, evolved(z, few, budget), 6))  # fmt: skip
    told("CMA-ES over all", evolved(start, np.arange(len(start)), 2 * budget))
    return "\n".join(lines)


def table(results: list[dict[str, Any]]) -> str:
    """The results in lines."""

    def seconds(key: str) -> str:
        found = [result[key] for result in results]
        return f"{min(found):.0f} to {max(found):.0f} s (median {np.median(found):.0f})"

    rows = [row for result in results for row in result["parameters"]]
    known = [row for row in rows if row["identified"]]
    inside = [row for row in known if row["interval"][0] <= row["true"] <= row["interval"][1]]
    lines = [
        f"arms: {len(results)} ({results[0]['plant']}), {seconds('seconds')}, {seconds('cpu_seconds')} of CPU time",
        f"parameters: {len(rows)}, identified {len(known)}, true value inside its 95 % interval {len(inside)} "
        f"({len(inside) / len(known):.1%})",
    ]
    for key in sorted({row["name"].rpartition(".")[2] for row in rows}):
        mine = [row for row in rows if row["name"].endswith(f".{key}")]
        sure = [row for row in mine if row["identified"]]
        hit = sum(row["interval"][0] <= row["true"] <= row["interval"][1] for row in sure)
        off = [abs(row["value"] - row["true"]) for row in sure]
        shown = f"median error {np.median(off):.2g}, largest {max(off):.2g}" if off else "none identified"
        lines.append(f"  {key}: identified {len(sure)} of {len(mine)}, inside {hit}; {shown}")
    ratio = [result["held_out"]["stock"] / result["held_out"]["identified"] for result in results]
    lines.append(f"held out at 0.5 s: stock's error over the identified model's {min(ratio):.1f} to {max(ratio):.1f}")
    lines.append(f"arms with a misfit named of the whole model: {sum(bool(r['false_alarms']) for r in results)}")
    for what in LEFT_OUT:
        told = [result["noticed"][what] for result in results if "noticed" in result]
        lines.append(f"{what} left out: noticed in {sum(map(bool, told))} of {len(told)}")
    return "\n".join(lines)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    arms = modes.add_parser("arms")
    arms.add_argument("--first", type=int, default=0, help="seed of the first arm")
    arms.add_argument("--count", type=int, default=20)
    arms.add_argument("--plant", choices=["mujoco", "maniskill"], default="mujoco")
    arms.add_argument("--segments", type=int, default=60)
    arms.add_argument("--out", type=Path, required=True)
    ways = modes.add_parser("methods")
    ways.add_argument("--seed", type=int, default=0)
    ways.add_argument("--segments", type=int, default=10)
    modes.add_parser("table").add_argument("results", type=Path)
    given = parser.parse_args()
    if given.mode == "methods":
        print(methods(given.seed, given.segments))
        return
    if given.mode == "arms":
        done = json.loads(given.out.read_text()) if given.out.exists() else []
        for seed in range(given.first + len(done), given.first + given.count):
            done.append(arm(seed, given.plant, given.segments))
            given.out.write_text(json.dumps(done, indent=1))
            print(table(done[-1:]), flush=True)
    print(table(json.loads((given.out if given.mode == "arms" else given.results).read_text())))


if __name__ == "__main__":
    main()
