"""A ManiSkill task without its world: its own code makes observations of what an arm measured, and targets of actions.

The simulation is never stepped. Its robot is put where the real one was measured, before any of its code is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from policy_port.arrays import Array
from policy_port.control.plant import PlantState
from policy_port.errors import RobotError, TaskError
from policy_port.replay.open_env import open_env
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.arm.stop_signals import StopSignals
from policy_port.robots.maniskill.proof import prove
from policy_port.robots.maniskill.terms import Origin, origins

Measure = Callable[[], Any]
"""Returns one part of an observation, in its shape without the batch."""
Frames = Callable[[str], np.ndarray]
"""Returns the latest picture of a camera by its name: RGB, uint8, shape (height, width, 3) as the task observes it."""


class RealTask:
    """The task's observations and targets, for one arm."""

    def __init__(
        self,
        env_id: str,
        robot: RobotFile,
        *,
        without: Sequence[str] = (),
        declared: Mapping[str, Origin] | None = None,
        measure: Mapping[str, Measure] | None = None,
        **options: Any,
    ) -> None:
        """Open the task's simulation and decide where each part of its observation will come from.

        Args:
            env_id: Name under which the task is registered.
            robot: The arm.
            without: Parts of the observation to leave out, by path or a single step of it.
            declared: Origins of parts of tasks that this package does not know; each is put to the proof.
            measure: Functions that measure parts that the arm doesn't, by path.
            **options: Options of the task, for `gymnasium.make`: `obs_mode` ("state", if not given), `control_mode`
                (its own default), and more.

        Raises:
            TaskError: When there is no such task, a part of its observation can't be measured, or its controller does
                not set joint position targets.
            RobotError: When its robot is another one, or somebody pressed Ctrl-C meanwhile.
            MissingDependencyError: When ManiSkill can't start here.
        """
        self.env_id = env_id
        self.joint_names = robot.joint_names
        """Joints in the arm's order."""
        self._measure = dict(measure or {})
        self.made = _open(env_id, **options)
        """The task as `gymnasium.make` wraps it."""
        self.base: Any = self.made.unwrapped
        """The task, for its spaces and rates; never step it."""
        try:
            _check_robot(env_id, self.base, robot)
            self._robot = self.base.agent.robot
            names = [joint.name for joint in self._robot.active_joints]
            self._order = JointOrder(f"{env_id}: its robot", names, robot.joint_names)
            self._controllers = list(position_controllers(env_id, self.base.agent.controller))
            self._decide(without, declared)
        except BaseException:
            self.close()
            raise
        self.control_dt = 1.0 / self.base.control_freq
        """Control period [s]."""
        self.max_episode_steps: int | None = _max_episode_steps(self.made)
        """Control steps of an episode; None where the task never ends one."""
        self.cameras = {
            path.split("/")[1]: self._shapes[path][1:3]
            for path, origin in self.origins.items()
            if origin is Origin.CAMERA
        }
        """Height and width of the pictures by camera."""
        self._frames: Frames | None = None
        self._draw: Callable[[], Any] = self.base._get_obs_sensor_data
        self.base._get_obs_sensor_data = self._sensor_data
        self.base.get_sensor_params = lambda: {name: {} for name in self.cameras}

    def _decide(self, without: Sequence[str], declared: Mapping[str, Origin] | None) -> None:
        """Decide where each part of the observation comes from, and put it to the proof."""
        mode = self.base.obs_mode
        self.info: dict[str, Any] = self.base.get_info()
        """What the simulation judged once; it was proved that no part of the observation depends on it."""
        raw = self.base.get_obs(self.info, unflattened=True)
        if not isinstance(raw, dict) or mode in ("none", "pointcloud", "sensor_data"):
            raise TaskError(f"{self.env_id}: observation mode {mode} is not one that a policy reads; use state or rgb")
        parts = leaves(raw)
        self.origins = origins(self.env_id, parts, without=without, declared=declared, supplied=self._measure)
        """Where each part of the observation comes from, by path, in order."""
        prove(self.env_id, self.base, self.origins, self._put, self._parts)
        self._shapes = {path: tuple(value.shape) for path, value in parts.items()}
        if without:
            self.base.update_obs_space(self.base._flatten_raw_obs(self._keep(raw)))

    def watch(self, frames: Frames) -> None:
        """Take pictures from `frames` from now on."""
        self._frames = frames

    def begin(self, seed: int | list[int] | None, options: dict[str, Any] | None = None) -> Array:
        """Start an episode; return its start pose [rad], shape (1, joints), in the arm's joint order.

        Raises:
            TaskError: When the options ask for another robot to be built.
        """
        if (options or {}).get("reconfigure"):
            raise TaskError(f"{self.env_id}: the arm can't be built anew; leave 'reconfigure' out of the options")
        # What the simulation would see of its own world is not even looked at.
        self.base.get_obs = lambda *args, **kwargs: {}
        try:
            self.made.reset(seed=seed, options=options)
        finally:
            del self.base.get_obs
        return self._order.measured(self._robot.get_qpos())

    def measured(self, joint_pos: Array, joint_vel: Array) -> None:
        """Put the simulated robot where the arm is.

        Args:
            joint_pos: Measured positions [rad], shape (1, joints), in the arm's joint order.
            joint_vel: Estimated velocities [rad/s], of the same shape.
        """
        self._robot.set_qpos(self._order.simulated(joint_pos))
        self._robot.set_qvel(self._order.simulated(joint_vel))

    def restart(self, state: PlantState) -> None:
        """Let the controllers forget: their target is where the arm was measured."""
        self.measured(state.joint_pos, state.joint_vel)
        self.base.agent.controller.reset()

    def targets(self, action: Any) -> Array:
        """What the task's controller makes of an action: targets [rad], shape (1, joints), in the arm's joint order.

        Args:
            action: In the task's action space, shape (actions,) or (1, actions).

        Raises:
            TaskError: When the action has another shape or is not finite.
        """
        wanted = self.base.single_action_space.shape
        given = torch.as_tensor(action, dtype=torch.float32).detach().cpu()
        if tuple(given.shape) not in (wanted, (1, *wanted)):
            raise TaskError(f"{self.env_id}: an action has shape {wanted}, given: {tuple(given.shape)}")
        if not bool(torch.isfinite(given).all()):
            raise TaskError(f"{self.env_id}: the action {given.flatten().tolist()} is not finite")
        self.base.agent.set_action(given.reshape(1, *wanted))
        return self._order.measured(self._robot.drive_targets)

    def sent(self, target: Array) -> None:
        """Let the controllers count from the target that was sent, not from the one they asked for.

        Args:
            target: What the limits allowed [rad], shape (1, joints), in the arm's joint order.
        """
        feed_back(self._controllers, self._order.simulated(target))

    def observe(self) -> Any:
        """The task's observation of what was measured last, in the simulation's layout: tensors with a batch of 1."""
        return self.base._flatten_raw_obs(self._keep(self.base.get_obs(self.info, unflattened=True)))

    def drawn(self, camera: str) -> np.ndarray:
        """What the simulation's own camera shows of the arm as last measured: RGB, uint8, shape (height, width, 3).

        For a person to compare; no policy is ever shown it.
        """
        return self._draw()[camera]["rgb"][0].cpu().numpy()

    def close(self) -> None:
        """Close the simulation."""
        self.made.close()

    def _put(self, joint_pos: Array, joint_vel: Array, target: Array) -> None:
        self.measured(joint_pos, joint_vel)
        self.sent(target)

    def _parts(self, info: dict[str, Any]) -> dict[str, torch.Tensor]:
        """The parts of the observation that come from the task's own code, by path, for the arm as last measured."""
        both = {"agent": self.base._get_obs_agent(), "extra": self.base._get_obs_extra(info)}
        return {path: value.clone() for path, value in leaves(both).items() if path in self.origins}

    def _keep(self, raw: dict[str, Any], at: str = "") -> dict[str, Any]:
        """`raw` with the parts that were decided on, and the measurements that the caller supplies."""
        found: dict[str, Any] = {}
        for key, value in raw.items():
            path = f"{at}{key}"
            if isinstance(value, dict):
                found[key] = self._keep(value, f"{path}/")
            elif path in self._measure and hasattr(self, "_shapes"):
                found[key] = self._supplied(path, value)
            elif path in self.origins:
                found[key] = value
        return found

    def _supplied(self, path: str, like: torch.Tensor) -> torch.Tensor:
        value = torch.as_tensor(np.asarray(self._measure[path]())).to(like.dtype)
        if value.shape != like.shape[1:]:
            raise TaskError(f"{path}: measured with shape {tuple(value.shape)}, the task has {tuple(like.shape[1:])}")
        if not bool(torch.isfinite(value).all()):
            raise TaskError(f"{path}: was measured as {value.flatten().tolist()}, which is not finite")
        return value[None]

    def _sensor_data(self, apply_texture_transforms: bool = True) -> dict[str, Any]:
        if not self.cameras:
            return {}
        if self._frames is None:
            raise TaskError(f"{self.env_id}: no camera was opened")
        return {name: {"rgb": torch.from_numpy(self._frames(name).copy())[None]} for name in self.cameras}


def leaves(tree: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """The tensors of nested dictionaries by path, in order."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= leaves(value, f"{at}{key}/") if isinstance(value, Mapping) else {f"{at}{key}": value}
    return found


class JointOrder:
    """The arm's joints in the simulated robot's order, and back."""

    def __init__(self, whose: str, simulated: Sequence[str], joint_names: Sequence[str]) -> None:
        """Hold the joints against each other.

        Args:
            whose: Who has the simulated joints, for the message: "PickCube-v1: its robot".
            simulated: The simulated robot's joints in its order.
            joint_names: The arm's joints in its own order.

        Raises:
            RobotError: When they are not the same.
        """
        if set(simulated) != set(joint_names):
            given, has = ", ".join(simulated), ", ".join(joint_names)
            raise RobotError(f"{whose}'s joints are {given}, the robot file has {has}")
        self._order = [simulated.index(name) for name in joint_names]

    def simulated(self, values: Array) -> torch.Tensor:
        """Numbers of the arm's joints in the simulated robot's order, shape (1, joints)."""
        ordered = np.empty_like(values)
        ordered[:, self._order] = values
        return torch.from_numpy(ordered.astype(np.float32))

    def measured(self, values: Any) -> Array:
        """Numbers of the simulated robot's joints in the arm's order, shape (1, joints)."""
        return torch.as_tensor(values).detach().cpu().numpy().astype(np.float64)[:, self._order]


def _open(env_id: str, *, obs_mode: str = "state", control_mode: str | None = None, **options: Any) -> Any:
    # Libraries that load for the first time may lose an interruption: here it is a question, as with the arm.
    with StopSignals() as signals:
        made = open_env(
            env_id,
            control_mode=control_mode,
            draws=obs_mode not in ("state", "state_dict", "none"),
            num_envs=1,
            obs_mode=obs_mode,
            reward_mode="none",
            sim_backend="physx_cpu",
            **options,
        )
    if signals.received is not None:
        made.close()
        signals.check()
    if made.unwrapped.reconfiguration_freq:
        made.close()
        raise TaskError(f"{env_id}: the arm can't be built anew; give no reconfiguration_freq")
    return made


def _check_robot(env_id: str, base: Any, robot: RobotFile) -> None:
    """Refuse a task of another kind of robot, or one that is faster than the arm."""
    if base.agent.uid != robot.name:
        raise RobotError(f"{env_id}: its robot is a {base.agent.uid}, the robot file describes a {robot.name}")
    if base.control_freq > robot.timing.control_frequency * (1.0 + 1e-6):
        raise RobotError(
            f"{env_id}: runs at {base.control_freq} Hz, the robot file's timing.control_frequency is "
            f"{robot.timing.control_frequency:g}"
        )


def feed_back(controllers: Iterable[Any], target: torch.Tensor) -> None:
    """Let ManiSkill's joint position controllers count from `target` [rad], shape (1, joints), simulation's order."""
    for controller in controllers:
        controller._target_qpos = target[:, controller.active_joint_indices].clone()
        controller.set_drive_targets(controller._target_qpos)


def position_controllers(env_id: str, controller: Any) -> Iterator[Any]:
    """The joint position controllers that `controller` is or consists of.

    Raises:
        TaskError: When it is or has another one.
    """
    from mani_skill.agents.controllers.base_controller import DictController
    from mani_skill.agents.controllers.pd_joint_pos import PDJointPosController

    if isinstance(controller, DictController):
        for part in controller.controllers.values():
            yield from position_controllers(env_id, part)
    elif type(controller) is PDJointPosController and not controller.config.interpolate:
        yield controller
    else:
        raise TaskError(
            f"{env_id}: its controller is a {type(controller).__name__}"
            + (" that interpolates" if type(controller) is PDJointPosController else "")
            + "; on a real arm only controllers run that set joint position targets once per step. Name another one by "
            "the control mode"
        )


def _max_episode_steps(made: Any) -> int | None:
    try:
        return made.get_wrapper_attr("_max_episode_steps")
    except AttributeError:
        return None
