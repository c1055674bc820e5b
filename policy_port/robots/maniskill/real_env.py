"""A ManiSkill task on a real arm, as a Gymnasium environment with the simulation's spaces."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from policy_port.errors import TaskError
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.rehearsal import REHEARSED, settle
from policy_port.robots.arm.robot_file import RobotFile, load_robot_file
from policy_port.robots.arm.stops import ArmStopError
from policy_port.robots.emulator.clock import REAL, Clock
from policy_port.robots.jobs.pictures import Pictures
from policy_port.robots.maniskill.attended_arm import AttendedArm
from policy_port.robots.maniskill.task import Measure, RealTask
from policy_port.robots.maniskill.terms import SCENES, Origin


class RealEnv(gym.Env[Any, Any]):
    """A ManiSkill task, performed by an arm; wrap it as you wrapped the simulation.

    Spaces, batch dimension and layout are those of `gymnasium.make(env_id, num_envs=1, ...)`. The observation that
    `step` returns was measured at the end of the control interval. Where each part of it comes from is in `origins`;
    nothing comes from the simulation's world. There is no success and no reward, because nobody measured them: `info`
    has no "success", the reward is NaN, and episodes end by their length only.

    Every target goes through the supervisor, and what its limits cut off is fed back to the task's controller.
    After an error the arm is at rest, or without torque, and the environment is over. Between two steps of an episode
    no more time may pass than the robot file's `timing.deadline` allows.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(
        self,
        env_id: str,
        robot: RobotFile | Path | str,
        *,
        obs_mode: str = "state",
        control_mode: str | None = None,
        without: Sequence[str] = (),
        declared: Mapping[str, Origin] | None = None,
        measure: Mapping[str, Measure] | None = None,
        continuous: bool = False,
        on_torque: Callable[[], None] = lambda: None,
        time: Clock = REAL,
        **options: Any,
    ) -> None:
        """Open the task and the arm, and check them; nothing moves before the first `reset`.

        Args:
            env_id: Name under which the task is registered.
            robot: Robot file, or its path.
            obs_mode: The task's observation mode.
            control_mode: One of the task's controllers; its own default, if None.
            without: Parts of the observation to leave out, by path or a single step of it such as "segmentation".
            declared: Origins of parts of tasks that this package does not know; each is put to the proof.
            measure: Functions that measure what the arm doesn't, by path such as "extra/is_grasped".
            continuous: Steps need no Enter. Not for the first run.
            on_torque: Called once torque is on.
            time: What it goes by.
            **options: More options of the task, for `gymnasium.make`.

        Raises:
            TaskError: When the task can't be performed by an arm, naming the part that can't be measured.
            RobotError: When something is not right with the arm.
        """
        known = robot if isinstance(robot, RobotFile) else load_robot_file(robot)
        console = Console(continuous=continuous)
        self._task = RealTask(
            env_id,
            known,
            obs_mode=obs_mode,
            control_mode=control_mode,
            without=without,
            declared=declared,
            measure=measure,
            **options,
        )
        try:
            pictures = Pictures(self._task.cameras, known)
            self._arm = AttendedArm(known, self._task.control_dt, console, on_torque, time)
            self._task.watch(lambda name: pictures.fit(name, self._arm.frame(name)))
            self._arm.open()
        except BaseException:
            self._task.close()
            raise
        self.origins = dict(self._task.origins)
        """Where each part of the observation comes from, by path."""
        self.num_envs = 1
        """Environments in the batch."""
        self.reconfiguration_freq = 0
        """Never: ManiSkill's wrappers ask."""
        self.device = self._task.base.device
        """Device of the tensors."""
        self.spec = self._task.made.spec
        self._max_episode_steps = self._task.max_episode_steps
        self._elapsed = 0
        self._scene = SCENES.get(env_id)
        self._stale = known.timing.stale
        self._seen = -math.inf
        self._ready = False

    @property
    def observation_space(self) -> gym.Space[Any]:
        """The simulation's, with its batch of one."""
        return self._task.base.observation_space

    @property
    def single_observation_space(self) -> gym.Space[Any]:
        """The simulation's, without a batch."""
        return self._task.base.single_observation_space

    @property
    def action_space(self) -> gym.Space[Any]:
        """The simulation's."""
        return self._task.base.action_space

    @property
    def single_action_space(self) -> gym.Space[Any]:
        """The simulation's, without a batch."""
        return self._task.base.single_action_space

    @property
    def control_mode(self) -> str:
        """The task's controller."""
        return self._task.base.control_mode

    @property
    def control_freq(self) -> int:
        """Control steps per second [Hz]."""
        return self._task.base.control_freq

    @property
    def obs_mode(self) -> str:
        """The task's observation mode."""
        return self._task.base.obs_mode

    @property
    def gpu_sim_enabled(self) -> bool:
        """False: ManiSkill's wrappers ask."""
        return False

    @property
    def elapsed_steps(self) -> torch.Tensor:
        """Steps since the last reset, shape (1,)."""
        return torch.tensor([self._elapsed], dtype=torch.int32)

    @property
    def ended(self) -> str | None:
        """Where the arm was left; None while it is open."""
        return None if self._arm.ending is None else str(self._arm.ending)

    @property
    def _init_raw_obs(self) -> Any:
        # ManiSkill's observation wrappers derive their space from it, and put the space that they make into place.
        return self._task.base._init_raw_obs

    def update_obs_space(self, observation: Any) -> None:
        """Take the spaces from an observation; ManiSkill's observation wrappers call it."""
        self._task.base.update_obs_space(observation)

    def rehearse(self, decide: Callable[[Any], Any]) -> float:
        """Run the loop without torque, so that measurements are taken as late as the policy's speed allows.

        Args:
            decide: The policy: from an observation of this environment, without wrappers, to an action.

        Returns:
            99th percentile of the time from measurement to decision [s].

        Raises:
            ArmStopError: When the policy is too slow for the control period.
        """
        taken = []
        with self._arm.driving() as supervisor:
            self._task.restart(self._arm.state)
            for _ in range(REHEARSED):
                self._arm.clock.wait()
                start = self._arm.arm.clock.now()
                supervisor.read(self._arm.state)
                self._task.targets(decide(self._observe()))
                taken.append(self._arm.arm.clock.now() - start)
            return settle(self._arm.clock, taken, self._task.control_dt)

    def reset(self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None) -> Any:
        """Lead the arm slowly to the start pose of an episode.

        Args:
            seed: Of the episode: it chooses start pose and goal as in the simulation.
            options: The task's options.

        Returns:
            The observation measured there, and `info`.

        Raises:
            ArmStopError: When the arm must not go on; it has ended then.
        """
        with self._arm.driving():
            start = self._task.begin(seed, options)
        if self._scene is not None:
            self._arm.ask(f"{self._scene} The arm then goes to its start pose.")
        self._arm.lead(start)
        with self._arm.driving():
            self._task.restart(self._arm.state)
            self._elapsed, self._ready = 0, True
            return self._observe(), self._info()

    def step(self, action: Any) -> Any:
        """Send what the task's controller makes of `action`, wait for the end of the control interval, and measure.

        Args:
            action: In the simulation's action space, shape (actions,) or (1, actions).

        Returns:
            Observation, reward (NaN), terminated (False), truncated, info.

        Raises:
            ArmStopError: When the arm must not go on; it has ended then.
        """
        if not self._ready:
            raise TaskError("call reset before step: the arm is led to a start pose first")
        with self._arm.driving() as supervisor:
            age = self._arm.arm.clock.now() - self._seen
            if age > self._stale:
                raise ArmStopError(
                    f"the action rests on an observation that is {age:.2f} s old; the bound is {self._stale:g}. Let "
                    "the policy warm up in `rehearse` before the first step",
                    may_move=True,
                )
            try:
                target = self._task.targets(action)
            except TaskError as cause:
                raise ArmStopError(str(cause), may_move=True) from None
            self._arm.clock.wait()
            supervisor.write(target)
            self._task.sent(target)
            supervisor.step(1)
            supervisor.read(self._arm.state)
            self._elapsed += 1
            observation = self._observe()
        over = self._max_episode_steps is not None and self._elapsed >= self._max_episode_steps
        reward, never = torch.full((1,), float("nan")), torch.zeros(1, dtype=torch.bool)
        return observation, reward, never, torch.tensor([over]), self._info()

    def render(self) -> Any:
        """There is nothing to draw."""
        raise TaskError("a real arm can't be drawn; look at it")

    def close(self) -> None:
        """Lead the arm to rest, torque off, port closed. Twice is harmless."""
        self._arm.close()
        self._task.close()

    def _observe(self) -> Any:
        state, self._seen = self._arm.state, self._arm.arm.clock.now()
        self._task.measured(state.joint_pos, state.joint_vel)
        return self._task.observe()

    def _info(self) -> dict[str, Any]:
        sent = self._arm.supervisor.sent[None].astype(np.float32)
        return {"elapsed_steps": self.elapsed_steps, "target_sent": torch.from_numpy(sent)}
