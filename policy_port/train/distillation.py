"""RSL-RL's distillation with teachers that it did not train: whose memory lasts, and who speak the student's units."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import rsl_rl.algorithms
import torch
from torch import Tensor

from policy_port.contract import Contract
from policy_port.train.teacher import Teacher

CLASS = f"{__name__}:Distillation"
"""The class as RSL-RL's `class_name` takes it."""

BEYOND = "labels_beyond_raw_clip"
"""Name in the curve of the share of labels that the student's raw_clip keeps it from ever putting out."""


class Distillation(rsl_rl.algorithms.Distillation):
    """RSL-RL's distillation for teachers that were trained elsewhere, by whatever library."""

    teacher_loaded = True
    """The teacher was loaded when it was made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bounds: tuple[Tensor, Tensor] | None = None
        """Lower and upper raw_clip of the student's contract, shape (action size,)."""
        self.before_update: Callable[[], None] = lambda: None
        """Called before each update."""
        self._beyond, self._labels = 0.0, 0

    @staticmethod
    def construct_algorithm(obs: Any, env: Any, cfg: dict[str, Any], device: str) -> Any:
        """Construct it as RSL-RL does, and let the teacher speak in the student's units."""
        algorithm = rsl_rl.algorithms.Distillation.construct_algorithm(obs, env, cfg, device)
        assert isinstance(algorithm, Distillation)
        teacher = algorithm._raw_teacher
        assert isinstance(teacher, Teacher)
        # Tried at once, so that labels that can't be said in the student's terms are refused before anything runs.
        teacher.as_student = functools.partial(env.actions_as, of="teacher", to="student")
        teacher.as_student(torch.zeros(1, teacher.actor.action_size, device=device))
        student: Contract = env.contract
        low, high = (torch.tensor(bound, dtype=torch.float32, device=device) for bound in student.raw_bounds)
        algorithm.bounds = (low, high)
        return algorithm

    def act(self, obs: Any) -> Tensor:
        """Let the student act and the teacher label."""
        actions = super().act(obs)
        labels, bounds = self.transition.privileged_actions, self.bounds
        if labels is not None and bounds is not None:
            self._beyond += float(((labels < bounds[0] - 1e-6) | (labels > bounds[1] + 1e-6)).float().mean())
            self._labels += 1
        return actions

    def update(self) -> dict[str, float]:
        """Learn from what was stored, and leave the teacher's memory where the episodes are.

        RSL-RL resets the teacher in each update as if it were to walk through the stored steps too, which it does not:
        a recurrent one would start every rollout from nothing, in the middle of episodes.
        """
        self.before_update()
        memory = self._raw_teacher.memory
        losses = super().update()
        self._raw_teacher.memory = memory
        losses[BEYOND] = self._beyond / max(self._labels, 1)
        self._beyond, self._labels = 0.0, 0
        return losses

    def load(self, loaded_dict: dict[str, Any], load_cfg: dict[str, Any] | None, strict: bool) -> bool:
        """Load a checkpoint's student; the teacher is the file that it was made of, and never a checkpoint's."""
        wanted = {"student": True, "optimizer": True, "iteration": True} if load_cfg is None else load_cfg
        return super().load(loaded_dict, {**wanted, "teacher": False}, strict)

    def save(self) -> dict[str, Any]:
        """The student and the optimiser, in RSL-RL's format; the teacher stays in its own file."""
        return {**super().save(), "teacher_state_dict": {}}
