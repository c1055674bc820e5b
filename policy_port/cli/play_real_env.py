"""`policy-port play --real --env ID`: a ManiSkill task on an arm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policy_port.port.pilot import Pilot
    from policy_port.robots.arm.robot_file import RobotFile
    from policy_port.robots.maniskill.play import TaskJob


@contextlib.contextmanager
def task_job(env_id: str, robot: RobotFile, pilot: Pilot, control_mode: str | None) -> Iterator[TaskJob]:
    """The task as a job for the arm, its simulation open but never stepped."""
    from policy_port.robots.maniskill.play import TaskJob, open_task

    task, cameras = open_task(env_id, robot, pilot.contract, control_mode)
    try:
        yield TaskJob(task, cameras)
    finally:
        task.close()
