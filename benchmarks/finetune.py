"""Fine-tuning a distilled student: gently, as one would at first, and under disturbance.

    python benchmarks/finetune.py STUDENT_RUN --runs FOLDER [--arms gentle naive disturbed] [--iterations N]

STUDENT_RUN is the folder of a `policy-port distil`. Each arm is a `policy-port finetune` into FOLDER; one that is there
is gone on with. The table is made of the folders, with 200 episodes for each policy, and written to finetune.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from policy_port.files import write_atomic
from policy_port.report.about import versions
from policy_port.tasks.velocity import VelocityTask
from policy_port.train.figures import compared
from policy_port.train.finetune import Judge, Start, finetune, open_start, place_of
from policy_port.train.ppo import Plan
from policy_port.train.run import Run, open_run
from policy_port.train.trial import Trial

DISTURBANCE = {
    "push": {"every": [3.0, 5.0], "force": [200.0, 400.0], "duration": 0.1},
    "randomisation": {"ground_friction": [0.4, 1.0], "delay": [0.0, 0.02]},
}
"""What the disturbed arm learns under, and what all are measured under."""

NAIVE = {
    "critic_warmup": 0,
    "actor": {"distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 1.0}},
    "algorithm": {"learning_rate": 0.001, "schedule": "adaptive", "entropy_coef": 0.01},
}
"""Settings with which one trains from nothing."""

ARMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "gentle": ({}, {}),
    "naive": (NAIVE, {}),
    "disturbed": ({}, DISTURBANCE),
}
"""What differs from the shipped settings, and from the student's task."""

HEAD = ("arm", "iterations", "least tracking at a checkpoint / start", "result", "tracking / student", "falls more")
HEAD += ("survival longer [s]", "the same under disturbance: tracking", "falls more", "survival longer [s]")


def disturbed(task: VelocityTask) -> VelocityTask:
    """The task with what disturbs."""
    return VelocityTask.model_validate({**task.model_dump(), **DISTURBANCE})


def perform(arm: str, start: Start, folder: Path, iterations: int | None) -> Run:
    """Fine-tune in one arm, or go on with what is there."""
    settings, task = ARMS[arm]
    folder.mkdir(parents=True, exist_ok=True)
    own = yaml.safe_load((start.file.parent / "task.yaml").read_text())
    files = {"agent": folder / f"{arm}_agent.yaml", "task": folder / f"{arm}_task.yaml"}
    for name, values in (("agent", {"max_iterations": 60, **settings}), ("task", {**own, **task})):
        write_atomic(files[name], yaml.safe_dump(values, sort_keys=False))
    given = dict.fromkeys(("plant", "robot", "num_envs", "device"))
    place = place_of(start, task=str(files["task"]), seed=0, **given)  # type: ignore[arg-type]
    out = folder / arm
    return finetune(start, place, Plan(out=out, agent=files["agent"], iterations=iterations, resume=out.exists()))


def row(arm: str, run: Run, start: Start) -> tuple[str, ...]:
    """What came out of one arm."""
    scores = run.scores()
    least = min(scores[i]["tracking"] for i in scores) / scores[0]["tracking"]
    file = max(run.checkpoints().items())[1] if arm == "naive" else run.result()[0]
    cells = [arm, str(max(scores)), f"{least:.3f}", file.name]
    given = dict.fromkeys(("plant", "robot", "num_envs", "device", "task"))
    judge = Judge(start.contract, place_of(start, seed=0, **given))  # type: ignore[arg-type]
    nominal = VelocityTask.model_validate(yaml.safe_load((start.file.parent / "task.yaml").read_text()))
    for task in (nominal, disturbed(nominal)):
        trial = Trial(task=task, seconds=20.0, episodes=200, seed=5_000_000)
        found = compared(judge.measure(file, trial), judge.measure(start.file, trial))
        cells += [found.tracking.text(), found.falls.text(), found.survival.text(2)]
    return tuple(cells)


def main() -> None:
    """Fine-tune, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("student", type=Path)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--table", action="store_true", help="measure the runs that are there and write finetune.md")
    given = parser.parse_args()
    start = open_start(given.student, None)
    for arm in given.arms:
        run = perform(arm, start, given.runs, given.iterations)
        print(arm, run.result(), flush=True)
    if given.table:
        rows = [row(arm, open_run(given.runs / arm), start) for arm in ARMS if (given.runs / arm).is_dir()]
        write_atomic(Path(__file__).with_suffix(".md"), page(start, rows))


def page(start: Start, rows: list[tuple[str, ...]]) -> str:
    """The figures as Markdown."""
    assert start.run is not None
    lines = ["| " + " | ".join(cells) + " |" for cells in (HEAD, ("---",) * len(HEAD), *rows)]
    known = ", ".join(f"{name} {number}" for name, number in versions().items() if name in ("torch", "mujoco"))
    source = Path(start.run.record.source or "").name
    return "\n".join(
        [
            "# Fine-tuning a distilled student",
            "",
            f"Written by `python benchmarks/finetune.py STUDENT_RUN --runs FOLDER --table`, {known}, two CPU cores "
            f"that others used too. The student: {start.file.name} of a `distil` from {source}, "
            f"{start.run.result()[1]}.",
            "",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    main()
