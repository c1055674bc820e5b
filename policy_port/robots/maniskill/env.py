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
from policy_port.robots.arm.robot_file import RobotFile, load_robot_file
from policy_port.robots.arm.session import ArmSession
from policy_port.robots.arm.stops import ArmStopError
from policy_port.robots.emulator.clock import REAL
from policy_port.robots.jobs.pictures import Pictures
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
    num_envs = 1
    """Environments in the batch."""
    reconfiguration_freq = 0
    """Never: ManiSkill's wrappers ask."""
    gpu_sim_enabled = False
    """ManiSkill's wrappers ask."""

    def __init__(
        self,
        env_id: str,
        robot: RobotFile | Path | str,
        *,
        without: Sequence[str] = (),
        declared: Mapping[str, Origin] | None = None,
        measure: Mapping[str, Measure] | None = None,
        continuous: bool = False,
        **options: Any,
    ) -> None:
        """Open the task and the arm, and check them; nothing moves before the first `reset`.

        Args:
            env_id: Name under which the task is registered.
            robot: Robot file, or its path.
            without: Parts of the observation to leave out, by path or a single step of it such as "segmentation".
            declared: Origins of parts of tasks that this package does not know; each is put to the proof.
            measure: Functions that measure what the arm doesn't, by path such as "extra/is_grasped".
            continuous: Steps need no Enter. Not for the first run.
            **options: Options of the task, for `gymnasium.make`: `obs_mode` ("state", if not given), `control_mode`
                (its own default), and more. For rehearsals also `on_torque`, which is called once torque is on, and
                `time`, the clock that it goes by.

        Raises:
            TaskError: When the task can't be performed by an arm, naming the part that can't be measured.
            RobotError: When something is not right with the arm.
        """
        known = robot if isinstance(robot, RobotFile) else load_robot_file(robot)
        on_torque, time = options.pop("on_torque", lambda: None), options.pop("time", REAL)
        console = Console(continuous=continuous)
        self._task = RealTask(env_id, known, without=without, declared=declared, measure=measure, **options)
        try:
            pictures = Pictures(self._task.cameras, known)
            self._arm = ArmSession(known, self._task.control_dt, console, on_torque, time)
            self._task.watch(lambda name: pictures.fit(name, self._arm.cameras.frame(name)))
            self._arm.open()
        except BaseException:
            self._task.close()
            raise
        self.origins = dict(self._task.origins)
        """Where each part of the observation comes from, by path."""
        self.device = self._task.base.device
        """Device of the tensors."""
        self.spec = self._task.made.spec
        self.control_mode: str = self._task.base.control_mode
        """The task's controller."""
        self.control_freq: int = self._task.base.control_freq
        """Control steps per second [Hz]."""
        self.obs_mode: str = self._task.base.obs_mode
        """The task's observation mode."""
        self._max_episode_steps = self._task.max_episode_steps
        self._elapsed = 0
        self._scene = SCENES.get(env_id)
        self._seen = -math.inf
        self._ready = False

    @property
    def observation_space(self) -> gym.Space[Any]:  # pyrefly: ignore[bad-override]  gymnasium has an attribute
        """The simulation's, with its batch of one."""
        return self._task.base.observation_space

    @property
    def single_observation_space(self) -> gym.Space[Any]:
        """The simulation's, without a batch."""
        return self._task.base.single_observation_space

    @property
    def action_space(self) -> gym.Space[Any]:  # pyrefly: ignore[bad-override]  gymnasium has an attribute
        """The simulation's."""
        return self._task.base.action_space

    @property
    def single_action_space(self) -> gym.Space[Any]:
        """The simulation's, without a batch."""
        return self._task.base.single_action_space

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

    def rehearse(self, decide: Callable[[Any], Any], begin: Callable[[], object] | None = None) -> float:
        """Run the loop without torque, so that measurements are taken as late as the policy's speed allows.

        Args:
            decide: The policy: from an observation of this environment, without wrappers, to an action.
            begin: Makes the policy start anew, so that its network is asked next: for one that performs chunks longer
                than a rehearsal. The slowest steps are taken for those, if None.

        Returns:
            99th percentile of the time from measurement to decision [s].

        Raises:
            ArmStopError: When the policy is too slow for the control period, or its network for the robot file's
                bounds.
        """

        def step() -> None:
            self._arm.supervisor.read(self._arm.state)
            self._task.targets(decide(self._observe()))

        with self._arm.driving():
            self._task.restart(self._arm.state)
            return self._arm.rehearse(step, begin)

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
            self._arm.ask(self._scene)
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
            age, stale = self._arm.arm.clock.now() - self._seen, self._arm.robot.timing.stale
            if age > stale:
                raise ArmStopError(
                    f"the action rests on an observation that is {age:.2f} s old; the bound is {stale:g}. Let "
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
