"""What a sweep costs over its cases: a thousand of them on two cores, as a ratio within one run.

The rover of examples/sweep: five checkpoints, two robots, four commands, 25 seeds. The time of a case is what a worker
takes from its reset to its end with simulator and policy open, so all else is cost: reading the sweep, starting
workers, opening simulators and policies, keeping outcomes, writing the results. Nothing is left behind.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import yaml

from policy_port.sweep.document import load_sweep
from policy_port.sweep.results import check_results, summary, write_results
from policy_port.sweep.run import run_sweep
from policy_port.sweep.scores import Scores

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "sweep"
TARGET = 1.05


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="Length of an episode [s].")
    parser.add_argument("--seeds", type=int, default=25)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="policy_port_sweep_") as folder:
        path = written(Path(folder), asked.seconds, asked.seeds)
        for name, fresh in (("ports made on the way", False), ("ports there already", True), ("all known", False)):
            wall, count, cases, opening = timed(path, asked.jobs, fresh)
            shares = f"cases {cases:.1f} s, opening {opening:.1f} s, wall x workers {wall * asked.jobs:.1f} s"
            if name == "all known":
                print(f"{name}: {count} cases in {wall:.2f} s")
                continue
            ratio = wall * asked.jobs / cases
            missed = " !" if ratio > TARGET else ""
            print(f"{name}: {count} cases of {1e3 * cases / count:.1f} ms on {asked.jobs} workers: {ratio:.3f} of the "
                  f"cases themselves (target {TARGET}){missed}; {shares}")  # fmt: skip


def written(folder: Path, seconds: float, seeds: int) -> Path:
    """The sweep that is timed, beside a copy of what it names."""
    for name in ("run", "loaded"):
        shutil.copytree(EXAMPLE / name, folder / name)
    for name in ("robot.xml", "contract.yaml"):
        shutil.copy(EXAMPLE / name, folder / name)
    data = yaml.safe_load((EXAMPLE / "sweep.yaml").read_text(encoding="utf-8"))
    speeds = {"slow": [0.3, 0.0, 0.0], "fast": [0.9, 0.0, 0.0], "back": [-0.5, 0.0, 0.0], "turn": [0.0, 0.0, 0.8]}
    data |= {
        "checkpoints": [f"run/model_{iteration}.pt" for iteration in (10, 30, 40, 50, 60)],
        "plants": {name: data["plants"][name] for name in ("trained", "loaded")},
        "commands": {name: {"command": speed, "seconds": seconds} for name, speed in speeds.items()},
        "seeds": seeds,
        "start_noise": 0.5,
    }
    path = folder / "timed.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def timed(path: Path, jobs: int, fresh: bool) -> tuple[float, int, float, float]:
    """Wall time of the whole sweep, number of its cases, their time and that of opening what they need [s]."""
    rows = path.parent / ".sweep_cache" / path.stem / "rows"
    before = set(rows.glob("*"))
    began = time.perf_counter()
    sweep = load_sweep(path)
    check_results(sweep, path.parent / "results")
    scores = Scores(sweep, run_sweep(sweep, jobs=jobs, fresh=fresh))
    write_results(scores, path.parent / "results")
    summary(scores)
    wall = time.perf_counter() - began
    failed = [one.failure for one in scores.outcomes if one.failure]
    assert not failed, failed[0]
    new = [json.loads(line) for file in set(rows.glob("*")) - before for line in file.read_text().splitlines()]
    cases, opening = (sum(row[name] for row in new) for name in ("seconds", "opening"))
    return wall, len(scores.outcomes), cases, opening


if __name__ == "__main__":
    main()
