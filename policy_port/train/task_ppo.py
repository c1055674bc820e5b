"""PPO from pictures in a ManiSkill task: the actor looks through the cameras, the critic reads the state."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from policy_port.contract import Contract
from policy_port.errors import TrainError
from policy_port.replay.metrics import success_interval
from policy_port.replay.video import Video
from policy_port.train.loop import learn, make_runner, one_thread
from policy_port.train.ppo import Plan, begun_as, open_folder
from policy_port.train.report import write_run_report
from policy_port.train.run import Run, make_record
from policy_port.train.settings import PpoAgent, read_agent
from policy_port.train.task_distil import EPISODES, FINAL, figures, perform, read_student
from policy_port.train.task_environment import TaskEnvironment
from policy_port.train.task_place import TaskPlace, Worlds

SETTINGS = "task_pictures"
"""The shipped agent.yaml, with the numbers of ManiSkill's ppo_rgb."""


def train_task(contracts: Mapping[str, Contract], place: TaskPlace, plan: Plan) -> Run:
    """Train, measure each checkpoint, film it, and say how often the best succeeds.

    Args:
        contracts: Of "student", who acts and whose images are what it sees, and of "teacher", the critic's.
        place: The environments.
        plan: How the run is to go.

    Raises:
        PolicyPortError: Of the kind that says what does not fit; nothing is written then.
    """
    agent = read_agent(PpoAgent, SETTINGS, plan.agent)
    where = str(plan.agent or "the shipped settings of a training from pictures")
    images = [image.name for image in contracts["student"].images]
    if (agent.actor.class_name == "CNNModel") != bool(images):
        raise TrainError(f"{where}: actor is {agent.actor.class_name}, and it sees {', '.join(images) or 'nothing'}")
    agent.check_batch(place.num_envs, where)
    worlds = Worlds(place, contracts["teacher"].model_copy(update={"images": contracts["student"].images}))
    try:
        environment = TaskEnvironment(worlds, contracts, seed=place.seed, device=place.device)
    except BaseException:
        worlds.close()
        raise
    try:
        settings = agent.runner_settings(actor=["student", *images], critic=["teacher"])
        runner = make_runner("OnPolicyRunner", environment, settings, seed=place.seed, device=place.device, where=where)
        begun = begun_as(agent, SETTINGS, plan)
        files = {"agent.yaml": begun.to_yaml(), "environment.yaml": yaml.safe_dump(place.document(), sort_keys=False)}
        files |= {f"contracts/{name}.yaml": contract.to_yaml() for name, contract in contracts.items()}
        record = make_record(files, {}, stage="train", acting="student", **place.asked())
        run = open_folder(plan, record, files, runner)
        score = functools.partial(_score, environment, worlds)
        learn(run, runner, plan.iterations or begun.max_iterations, minutes=plan.minutes, score=score)
        run.finish(*_best(environment, run))
    finally:
        environment.close()
    write_run_report(run)
    return run


def _score(environment: TaskEnvironment, worlds: Worlds, file: Path) -> dict[str, float]:
    """Figures of a checkpoint, and a video of its first episode beside it."""
    actor = read_student(file, environment.contract)
    film(environment, worlds, file, EPISODES[0])
    return figures(perform(environment, actor, EPISODES, group="student"))


def film(environment: TaskEnvironment, worlds: Worlds, file: Path, seed: int) -> Path:
    """A checkpoint's episode as its first camera shows it: an mp4 of the checkpoint's name in `videos/`."""
    actor = read_student(file, environment.contract)
    shown, camera = [image.name for image in actor.images], next(iter(worlds.cameras.cameras.values()))
    out = file.parent / "videos" / f"{file.stem}.mp4"
    out.parent.mkdir(exist_ok=True)
    with Video(out, environment.contract.control_dt) as video, one_thread("cpu"):

        def policy() -> Any:
            memory = list(actor.initial_state(environment.num_envs))

            def act(seen: Any) -> torch.Tensor:
                picture = worlds.frames(camera)[0]
                video.append(np.repeat(np.repeat(picture, 4, axis=0), 4, axis=1))
                action, *memory[:] = actor(seen["student"].cpu(), *(seen[name].cpu() for name in shown), *memory)
                return action

            return act

        environment.perform([seed], policy, group="student", looks=True)
    return out


def _best(environment: TaskEnvironment, run: Run) -> tuple[Path, str]:
    """The checkpoint that succeeds most often, the later one where several do, and its share in other episodes."""
    scores = run.scores()
    best = max(scores, key=lambda done: (scores[done]["success"], done))
    file = run.checkpoints()[best]
    ended = perform(environment, read_student(file, environment.contract), FINAL, group="student")
    succeeded = sum(one.success for one in ended)
    low, high = success_interval(succeeded, len(ended))
    return file, (
        f"after {best} iterations it succeeds in {succeeded} of {len(ended)} episodes ({100 * low:.0f} to "
        f"{100 * high:.0f} %)"
    )
