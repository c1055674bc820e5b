#!/usr/bin/env python3
"""Students without a base velocity, of real teachers that read one: distilled, exported, and held against the teachers.

The teachers lie beside the project (../shared/real_policies), their contracts in tests/real_policies. All is done by
the program's own commands. A part at a time: `--part train`, then `mujoco`, `maniskill` and `newton` in any order; what
each finds is kept in benchmarks/distil.json, and benchmarks/distil.md is written of all that is there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.contract import Contract, load_contract
from policy_port.contract.layout import observation_slots
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.port.folder import Port, load_port
from policy_port.port.runtime import Policy
from policy_port.tasks.velocity import load_task
from policy_port.train.evaluate import Blind, evaluate
from policy_port.train.figures import Scores, compared
from policy_port.train.trial import Trial

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("POLICY_PORT_SHARED", ROOT.parent / "shared")) / "real_policies"
KEPT, TABLE = ROOT / "benchmarks" / "distil.json", ROOT / "benchmarks" / "distil.md"

ROBOTS = {
    "newton_assets_mjw_anymal": "anymal_c",
    "newton_assets_physx_anymal": "anymal_c",
    "newton_assets_mjw_go2": "go2",
}
LINKS = {
    "anymal_c": ("base", [f"{leg}_SHANK" for leg in ("LF", "LH", "RF", "RH")], 1.0),
    "go2": ("base_link", [f"{leg}_calf" for leg in ("FL", "FR", "RL", "RR")], 0.5),
}
"""Base, feet, and the largest sideways command [m/s]."""

DRAWN = {"ground_friction": [0.7, 1.25], "contact_time": [0.01, 0.025]}
"""Physics that differ between the environments in which a student learns: benchmarks/distil_contacts.py says why.
MuJoCo takes two timesteps at least, here 0.01 s."""

NUM_ENVS = 256
ITERATIONS = {"newton_assets_mjw_anymal": 240}
"""Where not 120; 240 with contacts drawn."""
DRAWS = ", contacts drawn"
"""Behind the name of a teacher whose student learned so."""
EPISODES = {"mujoco": (200, 20.0), "maniskill": (100, 20.0), "newton": (32, 10.0)}
"""Episodes in each simulator, and their length [s]; Newton on a CPU makes 200 steps a second."""
NOTES = (
    "- physx_anymal's student learnt with the settings above, mjw_anymal's for 240 iterations: with 120 it kept 93.4",
    "  (91.5 to 95.1) % of its teacher's tracking on these episodes and fell 3.0 points more, and its tracking in its",
    "  own episodes was still rising. mjw_go2's is of the settings of before: 64 environments, 200 iterations, a",
    "  constant rate, checkpoints measured in 10 s.",
    "- The minutes are of a machine on which a dozen other programs ran (load 10 to 15 on two cores).",
    "- What closed the bar for physx_anymal: four times the environments, and a learning rate that falls from",
    "  iteration to iteration. With 64 environments and 200 iterations two checkpoints of one run, 50 iterations",
    "  apart, fell in 7 and in 23 of 400 other episodes (seeds from 5,000,000 on), and the mean of the weights of",
    "  three of them in 26.",
    "- Those falls are no weakness of the teacher. It fell in 8 of 600 such episodes, 6 of them within a second of a",
    "  command that changed at 10 s. 12 of the 26 falls were under commands of 0.3 to 0.8 m/s forward, up to 0.5 m/s",
    "  left and 0.3 to 1 rad/s left; of the teacher's none, in 32 such commands.",
    "- In SAPIEN, in which none of them learnt, both students of ANYmal miss the bar by their tracking,",
    "  physx_anymal's by its falls too. What it lacks is in [distil_contacts.md](distil_contacts.md): it takes",
    "  itself for 5 to 7 % slower, as in MuJoCo with contacts of 0.01 s.",
    "- With contacts drawn (`--drawn`: contact_time 0.01 to 0.025 s, ground_friction 0.7 to 1.25, 240 iterations)",
    "  mjw_anymal's student holds in SAPIEN and Newton; in MuJoCo it misses by one fall: 8 of 200, its teacher 5, 7",
    "  would do. On 200 other seeds (from 5,000,000 on) it holds there, with 96.4 (94.7 to 97.9) % and 4 falls to",
    "  2; the checkpoint of iteration 240, which 32 episodes did not choose, has 96.9 % and 5 falls on those.",
    "- That training took 6.2 minutes, 3.8 of them the CPU's, exports left out, at a load of 4 to 7 by other work.",
    "- physx_anymal's student with contacts drawn is of 120 iterations. It keeps its teacher's tracking in SAPIEN on",
    "  these 60 seeds; on 40 others (from 5,000,000 on) 94.9 % and 2 falls more, where the student without draws",
    "  kept 91.0 % and fell in 4 more. In MuJoCo it falls in 6 points more of the episodes than its teacher.",
    "- Drawn gains (0.85 to 1.15, 0.7 to 1.3), base mass, joint friction and a delay of 5 ms instead of contacts did",
    "  not help: 88.8 % on the 40 seeds, 7 falls more.",
    "- A fall in 40 or 60 episodes is more than a point: the last column of such a row may say no for that alone.",
    "- Fewer episodes were played in SAPIEN and Newton, as many as the time allowed; go2 was not played in Newton.",
)
BLIND = "teacher, velocity zeroed"


def task(robot: str) -> dict[str, Any]:
    """Commands in the teachers' range, and noise as of Isaac Lab's velocity task, of joint velocities a third."""
    base, feet, sideways = LINKS[robot]
    return {
        "policy_port_task": 1,
        "name": f"{robot}_velocity",
        "robot": robot,
        "base": base,
        "feet": {link.split("_")[0]: {"link": link} for link in feet},
        "command": {"lin_vel_x": [-1.0, 1.0], "lin_vel_y": [-sideways, sideways], "ang_vel_z": [-1.0, 1.0]},
        "rewards": {"track_lin_vel_xy_exp": {"weight": 1.0}, "track_ang_vel_z_exp": {"weight": 0.5}},
        "noise": {"joint_pos": 0.01, "joint_vel": 0.5, "base_lin_vel": 0.1, "base_ang_vel": 0.2, "orientation": 0.05},
    }


def student_of(teacher: Contract) -> Contract:
    """The teacher's contract without what no sensor of a walking robot gives."""
    data = teacher.model_dump(mode="json", exclude_none=True)
    data["observation"]["terms"] = [t for t in data["observation"]["terms"] if t["term"] != "base_lin_vel"]
    return Contract.model_validate({**data, "name": f"{teacher.name}_student"})


def command(*words: object) -> None:
    """Run the program, and say what."""
    print("policy-port", *words, flush=True)
    done = CliRunner().invoke(app, [str(word) for word in words])
    print(done.output, flush=True)
    if done.exit_code:
        raise SystemExit(done.output) from done.exception


def robot_file(name: str) -> Path:
    """The MJCF that every simulator reads here."""
    robot = ROBOTS[name]
    return SHARED / "robots" / robot / f"{robot}.xml"


def train(name: str, work: Path, student: str, *, drawn: bool) -> dict[str, Any]:
    """Distil and export, with contacts that are drawn or as MuJoCo's are; how long it took."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    teacher, contract = SHARED / "policies" / f"{name}.pt", ROOT / "tests" / "real_policies" / f"{name}.yaml"
    (work / "student.yaml").write_text(student_of(load_contract(contract)).to_yaml())
    asked = task(ROBOTS[name])
    iterations = 240 if drawn else ITERATIONS.get(name, 120)
    for file, more in (("task.yaml", {}), ("learnt.yaml", {"randomisation": DRAWN} if drawn else {})):
        (work / file).write_text(yaml.safe_dump({**asked, **more}, sort_keys=False))
    wall, busy = time.perf_counter(), time.process_time()
    command(
        *("distil", teacher, "--teacher-contract", contract, "--student-contract", work / "student.yaml"),
        *("--plant", "mujoco", "--robot", robot_file(name), "--task", work / "learnt.yaml", "--student", student),
        *("--num-envs", NUM_ENVS, "--iterations", iterations, "--out", work / "run"),
    )
    taken = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - busy, "student": student}
    command("export", work / "run", "--format", "onnx", "--out", work / "student")
    command("export", teacher, "--contract", contract, "--format", "onnx", "--out", work / "teacher")
    return {**taken, "result": yaml.safe_load((work / "run" / "result.yaml").read_text())["reason"]}


def play(name: str, work: Path, plant_name: str, episodes: int | None, *, drawn: bool) -> dict[str, Any]:
    """Teacher and student, by their ports, in the same episodes; a blind teacher once, beside the first student."""
    count, seconds = EPISODES[plant_name]
    count = episodes or count
    trial = Trial(task=load_task(work / "task.yaml"), seconds=seconds, episodes=count)
    found: dict[str, Scores] = {}
    wanted = ("teacher", BLIND, "student") if plant_name == "mujoco" and not drawn else ("teacher", "student")
    for who in wanted:
        port = load_port(work / who.partition(",")[0])
        setup = PlantSetup.from_contract(port.contract)
        plant = make_plant(plant_name, robot_file(name), setup, num_envs=min(count, 100))
        try:
            found[who] = evaluate(port.contract, _maker(port, blind=who == BLIND), plant, trial)
        finally:
            plant.close()
        print(name, plant_name, who, found[who].document(), flush=True)
    rows = {}
    for who, scores in found.items():
        against = {} if who == "teacher" else {"against": compared(scores, found["teacher"]).document()}
        rows[who] = {**scores.document(), **against, "seconds": seconds}
    return rows


def _maker(port: Port, *, blind: bool) -> Callable[[int], Policy]:
    columns = np.array([n for n, s in enumerate(observation_slots(port.contract)) if s.term == "base_lin_vel"])
    pilot = port.pilot()
    return lambda rows: Blind(pilot.open(rows), columns) if blind else pilot.open(rows)


def table(kept: dict[str, Any]) -> Iterator[str]:
    """The lines of the table."""
    yield "| teacher | simulator | policy | episodes | tracking | % of the teacher's | fell, % | more, points | holds |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, parts in kept.items():
        for plant in (part for part in EPISODES if part in parts):
            for who, row in parts[plant].items():
                tracking, falls, against = row["tracking"], row["falls"], row.get("against")
                played = f"{row['episodes']} of {row['seconds']:g} s"
                cells = [name, plant, who, played, f"{tracking['value']:.3f}"]
                if against is None:
                    cells += ["", f"{100 * falls['value']:.1f}", "", ""]
                else:
                    share, more = against["tracking"], against["falls"]
                    cells += [
                        f"{100 * share['value']:.1f} ({100 * share['low']:.1f} to {100 * share['high']:.1f})",
                        f"{100 * falls['value']:.1f}",
                        f"{100 * more['value']:.1f} ({100 * more['low']:.1f} to {100 * more['high']:.1f})",
                        "yes" if against["holds"] else "no",
                    ]
                yield f"| {' | '.join(cells)} |"


def page(kept: dict[str, Any]) -> str:
    """benchmarks/distil.md."""
    lines = [
        "# Students without a base velocity",
        "",
        "`.venv/bin/python benchmarks/distil.py --part train` (then `mujoco`, `maniskill`, `newton`; `--only NAME`",
        "for single ones). Each teacher reads `base_lin_vel`; its student does not, and is distilled by",
        f"`policy-port distil --student gru --num-envs {NUM_ENVS} --iterations 120` (where no note says otherwise) in",
        "MuJoCo with sensor noise on, exported, and played by its port. Teacher and student perform the same episodes,",
        "commands and noise drawn alike (seeds from 1,000,000 on, which no training and no choice of a checkpoint has",
        "seen).",
        "",
        "Tracking is exp(-error^2 / 0.25), of the planar velocity and half as much of turning, as a share of the",
        "most there is; 0 from a fall on. A student holds with at least 95 % of its teacher's tracking and at most one",
        "point more falls. In brackets: 95 % intervals, bootstrapped over the paired episodes.",
        "",
        *table(kept),
        "",
        "Learning, on two cores that other work shared (the CPU's time beside it):",
        "",
        "| teacher | student | minutes | CPU minutes | by its own 100 episodes |",
        "|---|---|---|---|---|",
    ]
    for name, parts in kept.items():
        if (row := parts.get("train")) is not None:
            minutes, busy = row["seconds"] / 60.0, row["cpu_seconds"] / 60.0
            lines.append(f"| {name} | {row['student']} | {minutes:.1f} | {busy:.1f} | {row['result']} |")
    return "\n".join([*lines, "", *NOTES]) + "\n"


def main() -> None:
    """Do one part and write the page."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--part", choices=("train", *EPISODES), required=True)
    options.add_argument("--only", nargs="+", choices=tuple(ROBOTS), default=tuple(ROBOTS))
    options.add_argument("--student", choices=("gru", "lstm", "mlp"), default="gru")
    options.add_argument(
        "--drawn", action="store_true", help="contacts differ between the environments of the training"
    )
    options.add_argument("--episodes", type=int, help="how many, in the place of the usual number")
    options.add_argument("--work", type=Path, default=ROOT / ".distil", help="where runs and ports are kept")
    given = options.parse_args()
    for name in given.only:
        work = given.work / name
        if given.part == "train":
            part = train(name, work, given.student, drawn=given.drawn)
        else:
            part = play(name, work, given.part, given.episodes, drawn=given.drawn)
        kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        kept.setdefault(name + DRAWS * given.drawn, {})[given.part] = part
        known = [one + draws for one in ROBOTS for draws in ("", DRAWS)]
        ordered = {one: kept[one] for one in known if one in kept}
        KEPT.write_text(json.dumps(ordered, indent=1) + "\n")
        TABLE.write_text(page(ordered))


if __name__ == "__main__":
    main()
