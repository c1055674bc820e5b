"""Fine-tuning a distilled student: under disturbance, without it, and as one would at first.

    python benchmarks/finetune.py STUDENT_RUN --runs FOLDER [--arms disturbed gentle naive]

STUDENT_RUN is the folder of a `policy-port distil`. Each arm is a `policy-port finetune` into FOLDER; one that is there
is gone on with. The first tables of finetune.md are made of what stands in the folders.

    python benchmarks/finetune.py --held RUN ...

prints how much of the start's tracking each checkpoint of any fine-tunings has, in the episodes that it was judged by
and in others.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from policy_port.files import write_atomic
from policy_port.report.about import versions
from policy_port.train import finetune as tuning
from policy_port.train.figures import compared
from policy_port.train.finetune import Start, finetune, open_start, place_of
from policy_port.train.judge import Judge
from policy_port.train.ppo import Plan
from policy_port.train.run import Run, open_run

DISTURBANCE = {
    "push": {"every": [1.0, 2.0], "force": [800.0, 1200.0], "duration": 0.1},
    "randomisation": {"ground_friction": [0.4, 1.0], "delay": [0.0, 0.02]},
}
"""What the disturbed arm learns under, and is measured under."""

NUM_ENVS = 256
"""Environments: four times a student's, as PPO's gradient is noisier than that of a copy."""
FALL = -100.0
"""Weight of a fall, as much as a second and a half of perfect tracking; the student's task has none."""

SECONDS = 10.0
"""Length of an episode."""

NAIVE = {
    "max_iterations": 20,
    "critic_warmup": 0,
    "keep": 0.0,
    "actor": {"distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 1.0}},
    "algorithm": {"learning_rate": 0.001, "schedule": "adaptive", "entropy_coef": 0.01},
}
"""Settings with which one trains from nothing."""

ARMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "disturbed": ({"max_iterations": 100}, DISTURBANCE),
    "gentle": ({"max_iterations": 60}, {}),
    "naive": (NAIVE, {}),
}
"""What differs from the shipped settings, and from the student's task."""

HEAD = ("arm", "iterations", "tracking", "of the start's", "falls", "survival [s]")


def perform(arm: str, start: Start, folder: Path) -> Run:
    """Fine-tune in one arm, or go on with what is there."""
    settings, task = ARMS[arm]
    folder.mkdir(parents=True, exist_ok=True)
    own = yaml.safe_load((start.file.parent / "task.yaml").read_text())
    files = {"agent": folder / f"{arm}_agent.yaml", "task": folder / f"{arm}_task.yaml"}
    rewards = {**own["rewards"], "is_terminated": {"weight": FALL}}
    for name, values in (("agent", settings), ("task", {**own, "episode": SECONDS, "rewards": rewards, **task})):
        write_atomic(files[name], yaml.safe_dump(values, sort_keys=False))
    given = dict.fromkeys(("plant", "robot", "device"))
    place = place_of(start, task=str(files["task"]), num_envs=NUM_ENVS, seed=0, **given)
    out = folder / arm
    return finetune(start, place, Plan(out=out, agent=files["agent"], resume=out.exists()))


def rows(arm: str, run: Run) -> list[tuple[str, ...]]:
    """What each checkpoint of one arm is worth, and what was undone, in the same episodes of the task it learns on."""
    scores = run.scores()
    start = scores[0]["tracking"]
    undone = [(int(row["iteration"]), f" undone with step {row['step']:g}", row) for row in run.undone()]
    found = [*((i, "", score) for i, score in scores.items()), *undone]
    return [
        (
            *(arm, f"{i}{words}", f"{score['tracking']:.3f}", f"{100.0 * score['tracking'] / start:.0f} %"),
            *(f"{100.0 * score['falls']:.0f} %", f"{score['survival']:.2f}"),
        )
        for i, words, score in sorted(found, key=lambda each: (each[0], -each[2].get("step", 0.0)))
    ]


def held(folder: Path) -> list[tuple[str, ...]]:
    """How much of the start's tracking each checkpoint of a run has, with 95 % intervals."""
    run, start = open_run(folder), open_start(folder, None)
    given = dict.fromkeys(("plant", "robot", "task", "num_envs", "device"))
    judge = Judge(start.contract, place_of(start, seed=run.record.seed, **given))
    trials = (judge.trial(run.path, tuning.EPISODES), judge.trial(run.path, tuning.FINAL, last=True))
    measured = {i: [judge.measure(file, trial) for trial in trials] for i, file in run.checkpoints().items()}
    shares = {
        i: [compared(one, start).tracking.text() for one, start in zip(measured[i], measured[0], strict=True)]
        for i in measured
    }
    return [(str(i), f"{measured[i][0].tracking.mean():.3f}", *shares[i]) for i in measured]


def main() -> None:
    """Fine-tune, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("student", type=Path, nargs="?")
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--held", type=Path, nargs="*", default=[])
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--episodes", type=int, default=tuning.EPISODES, help="at each checkpoint")
    parser.add_argument("--final", type=int, default=tuning.FINAL, help="to hold the best one against the student")
    given = parser.parse_args()
    tuning.EPISODES, tuning.FINAL = given.episodes, given.final
    for folder in given.held:
        head = ("iterations", "tracking", f"of the start's in {given.episodes} episodes", f"in {given.final} others")
        print(table([head, *held(folder)]))
    if given.held:
        return
    if given.student is None or given.runs is None:
        parser.error("give STUDENT_RUN and --runs, or --held")
    start = open_start(given.student, None)
    for arm in given.arms:
        run = perform(arm, start, given.runs)
        print(arm, run.result(), flush=True)
    file = Path(__file__).with_suffix(".md")
    _, mark, others = file.read_text(encoding="utf-8").partition("\n## ")
    write_atomic(file, page(given, start) + mark + others)


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows as Markdown, the first one as their head."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (rows[0], ("---",) * len(rows[0]), *rows[1:]))


def page(given: argparse.Namespace, start: Start) -> str:
    """The figures as Markdown."""
    assert start.run is not None
    runs = {arm: open_run(given.runs / arm) for arm in ARMS if (given.runs / arm / "scores.csv").is_file()}
    told = [row for arm, run in runs.items() for row in rows(arm, run)]
    known = ", ".join(f"{name} {number}" for name, number in versions().items() if name in ("torch", "mujoco"))
    record = start.run.record
    return "\n".join(
        [
            "# Fine-tuning a distilled student",
            "",
            f"Written by `python benchmarks/finetune.py STUDENT_RUN --runs FOLDER --episodes {given.episodes} --final "
            f"{given.final}`, {known}, two CPU cores that others used too; {NUM_ENVS} environments in {record.plant}, "
            f"24 steps of each an iteration, {FALL:.0f} a fall, seed 0.",
            "",
            f"The student: {start.file.name} of a `distil` from {Path(record.source or '').name}; "
            f"{start.run.result()[1]}.",
            "",
            "`disturbed`: the shipped settings, with pushes of 800 to 1200 N for 0.1 s every 1 to 2 s, friction 0.4 to "
            "1.0 and targets up to 20 ms late; measured under these too. `gentle`: the same settings, undisturbed. "
            "`naive`: those with which one trains from nothing, undisturbed. Tracking is a share of the most there is, "
            f"0 from a fall on, over {given.episodes} episodes of {SECONDS:.0f} s, the same ones at each checkpoint.",
            "",
            table([HEAD, *told]),
            "",
            "What each run came to:",
            "",
            *(f"- {arm}: {run.result()[0].name}: {run.result()[1]}." for arm, run in runs.items()),
            "",
        ]
    )


if __name__ == "__main__":
    main()
