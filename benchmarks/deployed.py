#!/usr/bin/env python3
"""The deploy graph in the loop: is every policy's walk in MuJoCo the same, and is every wrong port caught as before?

deploy.onnx itself is stepped as a user's program steps it, signals by name in and states carried, where `play` has its
own way. Its walks are held against those of the same port played as always, figure by figure; the mutation score of
`--mutations` judges evidence that was recorded through it. Writes benchmarks/deployed.md.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import crossing
import mutation_evidence
import mutation_score
import numpy as np
from mutation_rows import Rows
from mutation_table import mutations
from scipy.spatial.transform import Rotation

from policy_port.contract.base_terms import BaseLinVelTerm, MeasuredTerm
from policy_port.contract.place import place_signal
from policy_port.contract.spec import Contract
from policy_port.control.controller import Controller
from policy_port.control.signals import Mountings
from policy_port.device.controller import JOINTS
from policy_port.port.deployed import DeployGraph
from policy_port.port.format import DEPLOY, DEPLOY_ACTION, DEPLOY_OBSERVATION, DEPLOY_TARGET

OUT = crossing.ROOT / "benchmarks" / "deployed.md"
FIGURES = ("survival s", "figure", "joint tracking RMSE rad", "action rate", "saturated", "verdict")


@contextlib.contextmanager
def through_graph(port: Path) -> Iterator[None]:
    """Whoever builds a controller meanwhile is given one that steps the port's deploy.onnx."""
    plain, reset = Controller.__init__, Controller.reset
    graphs: dict[int, DeployGraph] = {}

    def begin(self: Controller, *given: Any, **named: Any) -> None:
        plain(self, *given, **named)
        graphs[id(self)] = graph = DeployGraph(port / DEPLOY, (port / DEPLOY).read_bytes(), self.signals.num_envs)
        self._perform = stepping(self, graph)

    def forget(self: Controller, rows: Any = None) -> None:
        reset(self, rows)
        graphs[id(self)].reset(rows)

    with patch.object(Controller, "__init__", begin), patch.object(Controller, "reset", forget):
        yield


def stepping(controller: Controller, graph: DeployGraph) -> Any:
    """One control step by the graph, and what a recorder reads of it."""
    contract, signals = controller.contract, controller.signals
    order = [signals.joint_index[name] for name in graph.about["joint_names"]]
    names = [signal["name"] for signal in graph.about["signals"]]
    told = places(contract, signals.mountings)
    low, high = contract.raw_bounds

    def perform() -> Any:
        controller._count()
        given = {name: told[name] if name in told else signals.view(name) for name in names}
        given |= {name: np.ascontiguousarray(given[name][:, order]) for name in JOINTS if name in given}
        given = {name: np.tile(row, (signals.num_envs // len(row), 1)) for name, row in given.items()}
        out = graph.step(given)
        # A trace has the command in force, which the graph keeps to itself.
        for update in controller._observation.updates:  # type: ignore[attr-defined]
            update()
        controller.policy.observation[...], controller.action = out[DEPLOY_OBSERVATION], out[DEPLOY_ACTION]
        signals.last_action[...] = np.clip(controller.action, low, high)
        signals.joint_target[:, order] = out[DEPLOY_TARGET]
        return signals.joint_target

    return perform


def places(contract: Contract, mountings: Mountings | None) -> dict[str, np.ndarray]:
    """Where the places are that terms name, by the name of the signal that says it."""
    found = {}
    for term in contract.observation.terms:
        if not isinstance(term, MeasuredTerm) or mountings is None:
            continue
        point = term.point if isinstance(term, BaseLinVelTerm) else None
        if point not in (None, "link") and not isinstance(point, tuple):
            found[place_signal(point, "pos")] = mountings(point).position
        if term.axes_of is not None:
            quat = Rotation.from_matrix(mountings(term.axes_of).rotation).as_quat()
            found[place_signal(term.axes_of, "quat")] = np.roll(quat, 1)[None]
    return found


def walks(only: list[str], out: Path) -> list[str]:
    """A line for each policy and robot file: what it did through the graph, and whether that is what it does else."""
    catalogue = crossing.load_catalogue(crossing.ROOT / "benchmarks" / "crossing.yaml", crossing.CONTRACTS)
    lines = []
    for name, entry in catalogue.items():
        if "reason" in entry or (only and name not in only):
            continue
        port = out / name
        if said := crossing.export(name, entry, port):
            lines.append(f"| {name} | | is not exported: {said} |" + " |" * (len(FIGURES) - 1) + " no |")
        elif not (port / DEPLOY).is_file():
            lines.append(f"| {name} | | has no {DEPLOY} |" + " |" * (len(FIGURES) - 1) + " |")
        for file in entry["files"] if (port / DEPLOY).is_file() else ():
            usual = crossing.run(name, entry, port, ("mujoco", file), out / "run")
            with through_graph(port):
                deployed = crossing.run(name, entry, port, ("mujoco", file), out / "run")
            same = all(usual[key] == deployed[key] for key in FIGURES)
            cells = [
                f"{deployed[key]}" + ("" if usual[key] == deployed[key] else f" ({usual[key]})") for key in FIGURES
            ]
            lines.append(f"| {name} | {Path(file).name} | {' | '.join(cells)} | {'yes' if same else 'no'} |")
            print(lines[-1], flush=True)
    return lines


def mutants(only: list[str], runs: Path) -> list[str]:
    """A line for each policy: how many wrong ports are caught and named on evidence that the graph recorded."""
    runs.mkdir(parents=True, exist_ok=True)
    usual, lines = mutation_evidence.record, []

    def record(subject: Any, port: Any, out: Path, **how: Any) -> Path:
        with through_graph(port.path):
            return usual(subject, port, out, **how)

    with patch.object(mutation_score, "record", record):
        for subject in mutation_evidence.subjects():
            if subject.name in only:
                rows = Rows(runs / "rows.jsonl", keep_older=False, minutes=1e9)
                outcomes = [each for each in mutation_score.score(subject, runs, mutations(), rows)[0] if each.visible]
                caught, named = (sum(getattr(each, key) for each in outcomes) for key in ("caught", "named"))
                lines.append(f"| {subject.name} | {len(outcomes)} | {caught} | {named} |")
                lines += [f"| not named: {each.mutation.key} | | | |" for each in outcomes if not each.named]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="policies that walk; all, if not given")
    parser.add_argument("--mutations", nargs="*", default=["so100_reach", "rl_sar_go2_robot_lab"], metavar="NAME")
    parser.add_argument("--runs", type=Path, default=Path("runs/deployed"), help="where evidence and rows are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        walked = walks(options.only, Path(folder))
    judged = mutants(options.mutations, options.runs)
    same = sum(line.endswith(" yes |") for line in walked)
    head = f"| policy | file | {' | '.join(FIGURES)} | as always |"
    text = [
        "# Through the deploy graph",
        "",
        "Written by `benchmarks/deployed.py`: `deploy.onnx` stepped as a user's program steps it, in MuJoCo, against",
        "the same port as `play` runs it (in brackets where that is another figure), and wrong ports judged on the",
        "evidence that it recorded (those that change a number).",
        "",
        f"**{same}** of {len(walked)} runs have the same figures to every digit shown.",
        "",
        *(head, "|---" * (len(FIGURES) + 3) + "|", *walked),
        "",
        *("| policy | wrong ports | caught | named |", "|---|---|---|---|", *judged),
        "",
    ]
    OUT.write_text("\n".join(text), encoding="utf-8")
    print(f"wrote {OUT}")


if __name__ == "__main__":
    main()
