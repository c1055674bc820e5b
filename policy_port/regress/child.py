"""One case in a process of its own: `python -m policy_port.regress.child JOB.json`.

A simulator that crashes takes this process with it, and no other case.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from policy_port.regress.process import Job, child_main

Mode = Literal["judge", "measure", "repeat", "shaken"]

ARRAYS, COURSES = "arrays.npz", "courses.npz"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaseJob(Job):
    """One case of a suite."""

    module: ClassVar[str] = "policy_port.regress.child"

    suite: str
    """The suite's file."""
    case: str
    """Name of the case."""
    mode: Mode
    """judge: hold it against the baseline. The others write what `--update` makes a baseline of: measure runs it,
    repeat runs its golden episodes once more, shaken does so with rounding noise on the actions."""
    ports: str
    """Folder that keeps the ports that were made."""

    @property
    def depends(self) -> str:
        """Hash of all that the verdict on the case depends on, here."""
        from policy_port.regress import fingerprint
        from policy_port.regress.suite import load_suite

        suite = load_suite(self.suite)
        return fingerprint.key(suite, suite.case(self.case))

    def perform(self) -> dict[str, Any]:
        """Judge the case, or write what a baseline is made of."""
        return _perform(self)


def _perform(job: CaseJob) -> dict[str, Any]:
    from policy_port.regress import fingerprint
    from policy_port.regress.pilots import RoughPilot, find_pilot
    from policy_port.regress.suite import load_suite

    suite = load_suite(job.suite)
    case = suite.case(job.case)
    made_from = fingerprint.made_from(suite, case)
    port, pilot = find_pilot(suite, case, Path(job.ports), made_from)
    parsing = {
        "contract": port.source_contract.model_dump(mode="json", exclude_none=True),
        "mapping": port.mapping and port.mapping.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
    }
    about: dict[str, Any] = {
        "dependencies": fingerprint.dependencies(suite, case),
        "versions": fingerprint.versions(case),
        **parsing,
    }
    if job.mode == "judge":
        return {**about, **_judge(suite, case, pilot)}
    if job.mode == "shaken":
        pilot = RoughPilot.like(pilot)
    return {**about, **_measure(suite, case, pilot, Path(job.out), whole=job.mode == "measure")}


def _judge(suite: Any, case: Any, pilot: Any) -> dict[str, Any]:
    from policy_port.regress import baseline, fingerprint, golden, open_loop
    from policy_port.regress.player import flown_contract
    from policy_port.regress.statistical import Comparison

    stored = baseline.load_baseline(suite, case)
    assert stored is not None
    document, expect = stored.document, case.expect
    findings = []
    if expect.open_loop is not None:
        flown = flown_contract(case, pilot.contract)
        new = open_loop.outputs(pilot, flown, tuple(document["joint_names"]), stored.arrays)
        findings.append(open_loop.judge(new, stored.arrays, document["open_loop"], expect.open_loop.tolerance))
    comparison = None
    if expect.statistical is not None:
        rates = {"alarm_rate": suite.alarm_rate, "miss_rate": suite.miss_rate}
        comparison = Comparison(document["outcomes"], expect.statistical, **rates)
    wanted = expect.golden.episodes if expect.golden is not None else 0
    if wanted or comparison is not None:
        with _opened(suite, case, pilot) as player:
            kept = []
            for number in range(case.episodes):
                if number >= wanted and (comparison is None or comparison.done):
                    break
                episode = player.play(case.seed + number)
                if number < wanted:
                    kept.append(episode)
                if comparison is not None:
                    comparison.add(episode)
            simulator, joint_names = player.simulator, player.joint_names
        if expect.golden is not None:
            apart = baseline.elsewhere(document, simulator, fingerprint.versions(case))
            about = {**document["golden"], "joint_names": document["joint_names"]}
            findings.append(golden.judge(kept, joint_names, about, stored.arrays, expect.golden, apart))
        if comparison is not None:
            findings.append(comparison.finding())
    return {"findings": [dataclasses.asdict(finding) for finding in findings]}


def _measure(suite: Any, case: Any, pilot: Any, out: Path, *, whole: bool) -> dict[str, Any]:
    from policy_port.regress import golden, open_loop, statistical
    from policy_port.regress.player import flown_contract

    expect = case.expect
    first = expect.golden.episodes if expect.golden is not None else 1
    count = case.episodes if whole and expect.statistical is not None else first
    with _opened(suite, case, pilot) as player:
        kept, outcomes = [], []
        for number in range(count):
            episode = player.play(case.seed + number)
            if number < first:
                kept.append(episode)
            outcomes.append(dataclasses.replace(episode, arrays={}))
        simulator, joint_names = player.simulator, player.joint_names
    _save(out / COURSES, {str(number): golden.course(episode) for number, episode in enumerate(kept)})
    if not whole:
        return {}
    found: dict[str, Any] = {"simulator": simulator, "joint_names": list(joint_names)}
    if expect.statistical is not None:
        # An error that the task does not tell is found out now, not in the first comparison.
        for episode in outcomes:
            statistical.score(episode.success, episode.error, expect.statistical)
    found["outcomes"] = statistical.stored(outcomes)
    if expect.open_loop is not None:
        inputs = open_loop.stored_inputs(pilot, kept, expect.open_loop.steps)
        results = open_loop.outputs(pilot, flown_contract(case, pilot.contract), joint_names, inputs)
        found["open_loop"] = {"columns": {result.name: list(result.columns) for result in results}}
        _save(out / ARRAYS, {**inputs, **{f"out_{result.name}": result.values for result in results}})
    return found


def _save(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, allow_pickle=False, **arrays)


@contextlib.contextmanager
def _opened(suite: Any, case: Any, pilot: Any) -> Iterator[Any]:
    from policy_port.regress.player import open_player

    player = open_player(suite, case, pilot)
    with contextlib.closing(player):
        yield player


if __name__ == "__main__":
    child_main(CaseJob)
