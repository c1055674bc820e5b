"""The shipped policy that reaches for a ball: what it does on 100 seeds, with its picture and without.

The checkpoint's training is in visual.md. With --write the figures go into the shipped folder's evaluation.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.camera.env_file import load_env_file
from policy_port.camera.scene import make_options
from policy_port.contract import load_contract
from policy_port.replay.metrics import success_interval
from policy_port.tasks.so100_ball_env import CAMERA_SETTINGS, ENV_ID
from policy_port.train.task_distil import TaskLesson, open_lesson_in, perform, read_student
from policy_port.train.task_environment import Ended, TaskEnvironment
from policy_port.train.task_place import TaskPlace
from policy_port.train.teacher import open_teacher

ASSETS = Path(__file__).resolve().parents[1] / "policy_port" / "assets"
TEACHER, SHIPPED = ASSETS / "so100_reach", ASSETS / "so100_reach_ball"
MOVED = [CAMERA_SETTINGS["pos"][0] + 0.05, *CAMERA_SETTINGS["pos"][1:]]
OTHERS: dict[str, dict[str, Any]] = {
    "nothing randomised": {"domain_randomization": False},
    "ManiSkill's own meshes": {"mesh_cell": 0.0},
    "camera 5 cm aside": {"base_camera_settings": {"pos": MOVED}},
}
"""Environments that differ from the one of the training."""


def opened(folder: Path, config: Path | None = None, **options: Any) -> TaskEnvironment:
    """The ball's environment, as an environment file has it, for the policy in a folder and its teacher."""
    lesson = TaskLesson(
        teacher=open_teacher(TEACHER / "model.pt", load_contract(TEACHER / "contract.yaml")),
        student=load_contract(folder / "contract.yaml"),
    )
    said = {} if config is None else make_options(load_env_file(config))
    return open_lesson_in(lesson, TaskPlace(env_id=ENV_ID, num_envs=4, options=said | options))


def figures(ended: Sequence[Ended]) -> dict[str, Any]:
    """How many succeeded at the end, and how far from the goal they ended."""
    distances = [one.distance for one in ended]
    return {
        "success_rate": float(np.mean([one.success for one in ended])),
        "success_interval": [round(bound, 4) for bound in success_interval(sum(e.success for e in ended), len(ended))],
        "success_once_rate": float(np.mean([one.once for one in ended])),
        "mean_final_distance_m": float(np.mean(distances)),
        "max_final_distance_m": float(np.max(distances)),
    }


def measured(folder: Path, seeds: range, *, others: bool, config: Path | None) -> dict[str, Any]:
    """Every figure, by who acts and in what."""
    environment = opened(folder, config)
    student = read_student(folder / "model.pt", environment.contract)
    teacher = open_teacher(TEACHER / "model.pt", load_contract(TEACHER / "contract.yaml")).policy.actor
    found = {
        "student": figures(perform(environment, student, seeds, group="student")),
        "student without its picture": figures(perform(environment, student, seeds, group="student", looks=False)),
        "teacher, from state": figures(perform(environment, teacher, seeds, group="teacher")),
    }
    environment.close()
    for name, options in OTHERS.items() if others else ():
        environment = opened(folder, config, **options)
        found[f"student, {name}"] = figures(perform(environment, student, seeds, group="student"))
        environment.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--policy", type=Path, default=SHIPPED, help="folder with model.pt, agent.yaml, contract.yaml")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--config", type=Path, help="env.yaml: the environment as it has it")
    parser.add_argument("--others", action="store_true", help="also where the environment differs")
    parser.add_argument("--write", action="store_true", help="write evaluation.json into the folder")
    given = parser.parse_args()
    found = measured(given.policy, range(given.seeds), others=given.others, config=given.config)
    for name, one in found.items():
        low, high = one["success_interval"]
        print(
            f"{name:34} {one['success_rate']:.2f} ({low:.2f} to {high:.2f}), once {one['success_once_rate']:.2f}, "
            f"{1000 * one['mean_final_distance_m']:.1f} mm off (at most {1000 * one['max_final_distance_m']:.0f})"
        )
    if given.write:
        head = {"checkpoint": "model.pt", "environment": ENV_ID, "episodes": given.seeds, "seeds": [0, given.seeds - 1]}
        (given.policy / "evaluation.json").write_text(json.dumps(head | found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
