"""The crank on emulated arms with hard dynamics: one turn, and the same fine-tuning without what was identified.

    python benchmarks/engine.py --out runs/engine [--first 0] [--seeds 10] [--minutes 11]

An arm a seed: delay 60 ms, backlash 2 degrees, gains of 60 % of an STS3215's, and a payload of 30 % of the moved
links' mass, each drawn within 10 % of that. What is done stays: the same command goes on where it was ended.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from policy_port.cli.engine import PARTS, commands
from policy_port.engine.document import read_engine
from policy_port.engine.turning import FIGURES, turn_crank
from policy_port.errors import PolicyPortError
from policy_port.replay.metrics import success_interval
from policy_port.robots.arm.stops import OperatorStopError
from policy_port.tasks.reach import SO100_REACH

HARD = {"delay": 0.06, "backlash": np.deg2rad(2.0), "stiffness": 12.0, "damping": 1.7, "friction": 0.05}
"""Of every joint [s, rad, N m/rad, N m s/rad, N m]; an STS3215's stiffness is 20 and its damping 2.8."""
MOVED = 0.49
"""Mass of the links that move [kg]."""
SPREAD, PLANS = 0.1, 4
"""How far an arm's numbers are from these at most, and plans that are tried on it."""
PLAN = {
    "policy_port_plan": 1,
    "control_frequency": 30,
    "clearance": 0.06,
    "segments": [
        {"kind": "steps", "joints": "each", "seconds": 3.0, "amplitude": 0.35, "hold": 0.5},
        {"kind": "multisine", "seconds": 8.0, "amplitude": 0.4, "low": 0.1, "high": 2.5, "count": 10},
        {"kind": "multisine", "seconds": 6.0, "amplitude": 0.3, "low": 0.2, "high": 3.0, "count": 10,
         "use": "held_out"},
    ],
}  # fmt: skip
"""Half a minute of motion; a weak arm sags, so it keeps farther from the table than another would."""
ENVS, EPISODES = 64, 10
BY_OPERATOR = OperatorStopError.exit_code
"""With this a stage ends that somebody stopped."""
PRIORS = Path(__file__).resolve().parents[1] / "examples" / "engine" / "priors.yaml"


def write_engine(folder: Path, seed: int, plan: int = 0, *, control: bool = True) -> Path:
    """The files of one arm, and the plan of that number."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    joints = {
        name: {
            **{key: round(float(value * rng.uniform(1 - SPREAD, 1 + SPREAD)), 5) for key, value in HARD.items()},
            "armature": 0.028,
            "drive_damping": 0.0,
            "effort_limit": 3.0,
        }
        for name in SO100_REACH.joint_names
    }
    payload = {"link": "Fixed_Jaw", "mass": round(0.3 * MOVED * float(rng.uniform(1 - SPREAD, 1 + SPREAD)), 4)}
    hidden: dict[str, Any] = {"policy_port_dynamics": 1, "robot": {"file": "so100"}, "joints": joints}
    hidden["common"] = {"payload": payload}
    (folder / "hidden.yaml").write_text(yaml.safe_dump(hidden, sort_keys=False))
    (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN | {"seed": seed + 100 * plan}, sort_keys=False))
    engine = {
        "policy_port_engine": 1,
        "name": f"hard arm {seed}",
        "arm": "so100",
        "policy": "so100-reach",
        "out": "run",
        "control": control,
        "emulated": {"dynamics": "hidden.yaml", "seed": seed},
        "collect": {"plan": "plan.yaml"},
        "identify": {"payload": "Fixed_Jaw", "segments": 12, "priors": str(PRIORS), "runs": False},
        "finetune": {"num_envs": ENVS, "seed": seed},
        "play": {"episodes": EPISODES, "seed": 1000 * seed},
    }
    (folder / "engine.yaml").write_text(yaml.safe_dump(engine, sort_keys=False))
    return folder / "engine.yaml"


def turn(folder: Path, seed: int, *, control: bool) -> None:
    """One turn; where a plan's motion is stopped, such as by an overload, another is drawn, as a person would.

    What somebody stops, by Ctrl-C or SIGTERM, is over.
    """
    for plan in range(PLANS):
        try:
            turn_crank(read_engine(write_engine(folder, seed, plan, control=control)), commands(), PARTS, print)
        except PolicyPortError as error:
            print(f"arm {seed}, plan {plan}: {error}", flush=True)
            if "collect" not in str(error) or plan == PLANS - 1 or error.exit_code == BY_OPERATOR:
                raise
        else:
            return


def whole(folder: Path) -> bool:
    """Whether an arm's turn was done to its end."""
    file = folder / "run" / FIGURES
    return file.is_file() and len(json.loads(file.read_text())["turns"]) == 2


def _won(played: list[int], stopped: int) -> str:
    return f"{played[0]} of {played[1]}{f' ({stopped} stopped)' if stopped else ''}"


def row(folder: Path) -> tuple[list[int], str]:
    """Episodes won of the policy as it comes, of the control and after the turn; and the table's row."""
    before, after = json.loads((folder / "run" / FIGURES).read_text())["turns"]
    held = min(after["held_out"], key=lambda one: abs(one["horizon"] - 0.5))
    turns = (before, after["control"], after)
    won = [0 if turn is None else turn["real"][0] for turn in turns]
    cells = ["-" if turn is None else _won(turn["real"], len(turn["stops"])) for turn in turns]
    cells.append(_won(after["simulated"], after["simulated_stops"]))
    gap = " to ".join(f"{value:.3f}" for value in (after["scores"]["turn 0"]["gap"], after["gap"]))
    cells += [f"{held['rmse']:.4f} ({held['stock_rmse']:.3f})", f"{before['gap']:.3f}", gap]
    return won, f"| {folder.name} | {' | '.join(cells)} |"


def main() -> None:
    """Turn the crank of each arm once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0, help="the first arm")
    parser.add_argument("--seeds", type=int, default=10, help="how many arms")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no further arm after so long")
    parser.add_argument(
        "--no-control", dest="control", action="store_false", help="leave the control out: half the time"
    )
    options = parser.parse_args()
    start, rows, total, failed = time.monotonic(), [], [], []
    for seed in range(options.first, options.first + options.seeds):
        folder = options.out / f"{seed:02d}"
        began = time.monotonic()
        if not whole(folder) and began - start < 60.0 * options.minutes:
            try:
                turn(folder, seed, control=options.control)
            except PolicyPortError as error:
                if error.exit_code == BY_OPERATOR:
                    raise SystemExit(BY_OPERATOR) from None
                failed.append(seed)
            print(f"arm {seed}: {time.monotonic() - began:.0f} s", flush=True)
        if whole(folder):
            won, line = row(folder)
            total.append(won)
            rows.append(line)
    print("| arm | as it comes | control | after the turn | simulated | held-out [rad] (stock) | gap, stock [rad] | "
          "gap, identified: before, after the turn [rad] |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    print("\n".join(rows))
    print(f"ended early: {failed or 'none'}")
    for name, won in zip(("as it comes", "control", "after the turn"), np.sum(total, axis=0).tolist(), strict=True):
        if name == "control" and not options.control:
            continue
        count = EPISODES * len(total)
        low, high = success_interval(won, count)
        print(f"{name}: {won} of {count}, {won / count:.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
