"""ManiSkill's `LeRobotRealAgent`, repaired: the same interface over a supervised arm, for its own Sim2RealEnv."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lerobot.cameras.opencv import OpenCVCameraConfig
from lerobot.robots.so_follower import SOFollower

from policy_port.arrays import Array
from policy_port.camera.picture import NetworkPicture, middle, picture_spec
from policy_port.errors import MissingDependencyError, RobotError, TaskError, closest
from policy_port.robots.arm.console import Console
from policy_port.robots.arm.robot_file import CameraBounds, RobotFile, load_robot_file
from policy_port.robots.arm.session import ArmSession
from policy_port.robots.emulator.clock import REAL, Clock
from policy_port.robots.maniskill.task import JointOrder, feed_back, position_controllers

try:
    from mani_skill.agents.base_real_agent import BaseRealAgent
except ModuleNotFoundError as _cause:
    raise MissingDependencyError(
        f"LeRobotRealAgent needs the Python package {_cause.name}, which is not installed: pip install "
        "'policy-port[sim]'"
    ) from None


class LeRobotRealAgent(BaseRealAgent):
    """An SO100 or SO101 for ManiSkill's Sim2RealEnv.

    Against ManiSkill's class of this name: it works with LeRobot 0.6. Joint names, signs, offsets (the elbow's 6.8
    degrees) and units come from a robot file, not from the robot's name. Targets go through the supervisor, which
    limits them, feeds back to the simulation's controller what the limits cut off, and ends the arm after an error.
    Torque comes on where the arm is, and a first target far from there is refused. Velocities are estimated.

    Sim2RealEnv asks for an observation as soon as it has sent a target. Here it waits for the end of the control
    interval instead, which is what the simulation observes.
    """

    def __init__(
        self,
        robot: SOFollower | RobotFile | Path | str,
        use_cached_qpos: bool = True,
        *,
        robot_file: RobotFile | Path | str = "so100",
        control_freq: float = 20.0,
        lead: float = 0.25,
        continuous: bool = False,
        **kwargs: Any,
    ) -> None:
        """Describe the arm; `start` reaches it.

        Args:
            robot: A robot file, its path, or LeRobot's robot as for ManiSkill's class: port, id, calibration folder,
                unit and cameras are taken from it then; it is never connected.
            use_cached_qpos: Measure once between two targets.
            robot_file: What is not taken from LeRobot's robot.
            control_freq: Targets per second, that of the Sim2RealEnv [Hz].
            lead: How long before the next target the observation is taken, as a share of the control interval.
            continuous: Targets need no Enter. Not for the first run.
            **kwargs: For ManiSkill's `BaseRealAgent`; for rehearsals also `on_torque`, which is called once torque is
                on, and `time`, the clock that it goes by.

        Raises:
            RobotError: When the robot file is not right, or nobody is there to press Enter.
        """
        self._on_torque: Callable[[], None] = kwargs.pop("on_torque", lambda: None)
        self._time: Clock = kwargs.pop("time", REAL)
        super().__init__(**kwargs)
        self.robot_file = _described(robot, robot_file)
        """The arm."""
        if not 0.0 < control_freq <= self.robot_file.timing.control_frequency:
            raise RobotError(
                f"control_freq is {control_freq:g} Hz; the robot file's timing.control_frequency is "
                f"{self.robot_file.timing.control_frequency:g}"
            )
        self.use_cached_qpos = use_cached_qpos
        self._period = 1.0 / control_freq
        self._ahead = lead * self._period
        self._console = Console(continuous=continuous)
        self._session: ArmSession | None = None
        self._fresh = False
        self._sent_at: float | None = None
        self._captured: dict[str, dict[str, torch.Tensor]] | None = None
        self._pictures: dict[str, NetworkPicture] = {}

    @property
    def ended(self) -> str | None:
        """Where the arm was left; None while it is open or was never opened."""
        return None if self._session is None or self._session.ending is None else str(self._session.ending)

    def start(self) -> None:
        """Reach the arm and its cameras, and check them; nothing moves.

        Raises:
            RobotError: When something is not right.
        """
        if self._session is not None and self._session.ending is None:
            raise RobotError("the arm is open already")
        self._session = ArmSession(self.robot_file, self._period, self._console, self._on_torque, self._time)
        self._fresh, self._sent_at, self._captured = False, None, None
        self._session.open()

    def stop(self) -> None:
        """Lead the arm to rest, torque off, port closed. Twice is harmless."""
        if self._session is not None:
            self._session.close()

    def set_target_qpos(self, qpos: Any) -> None:
        """Send joint position targets as far as the limits allow.

        Args:
            qpos: Targets [rad], shape (joints,) or (1, joints), in the simulated robot's joint order.

        Raises:
            ArmStopError: When the arm must not go on; it has ended then.
            TaskError: When there are more or fewer targets than joints.
        """
        target = self._in(qpos)
        arm = self._arm()
        arm.power()
        if self._sent_at is not None:
            # Targets that come faster than they may would be a higher speed than the limits say.
            self._time.sleep_until(self._sent_at + self._period)
        with arm.driving() as supervisor:
            supervisor.read(arm.state)
            asked = target.copy()
            supervisor.write(target)
            self._sent_at, self._fresh = self._time.now(), False
        if self._sim_agent is not None and (asked != target).any():
            self._feed_back(target)

    def set_target_qvel(self, qvel: Any) -> None:
        """An SO100 takes positions only."""
        raise TaskError("an SO100 can't be driven by joint velocities; use a controller of joint positions")

    def reset(self, qpos: Any) -> None:
        """Lead the arm slowly to a pose.

        Args:
            qpos: The pose [rad], shape (joints,) or (1, joints), in the simulated robot's joint order.

        Raises:
            ArmStopError: When the arm must not go on; it has ended then.
        """
        self._arm().lead(self._in(qpos))
        self._sent_at, self._fresh = None, True

    def get_qpos(self) -> torch.Tensor:
        """Joint positions [rad], shape (1, joints), in the simulated robot's joint order.

        After a target they are measured at the end of its control interval.
        """
        self._measure()
        return self._order().simulated(self._arm().state.joint_pos)

    def get_qvel(self) -> torch.Tensor:
        """Joint velocities, estimated from the last two positions [rad/s], shape (1, joints)."""
        self._measure()
        return self._order().simulated(self._arm().state.joint_vel)

    def capture_sensor_data(self, sensor_names: list[str] | None = None) -> None:
        """Take the latest picture of each camera, after a target at the end of its control interval.

        Raises:
            RobotError: When the robot file has no such camera.
            ArmStopError: When a picture is too old; the arm has ended then.
        """
        arm = self._arm()
        names = list(self.robot_file.cameras) if sensor_names is None else sensor_names
        for name in names:
            if name not in self.robot_file.cameras:
                has = ", ".join(self.robot_file.cameras) or "none"
                hint = closest(name, self.robot_file.cameras)
                raise RobotError(f"the robot file has no camera '{name}'{hint}; it has {has}")
        self._wait()
        with arm.driving():
            arm.cameras.check()
            pictures = {name: self._picture(name)(arm.cameras.frame(name)) for name in names}
        self._captured = {name: {"rgb": torch.from_numpy(picture)[None]} for name, picture in pictures.items()}

    def get_sensor_data(self, sensor_names: list[str] | None = None) -> dict[str, dict[str, torch.Tensor]]:
        """The captured pictures by camera: {"rgb": uint8, shape (1, height, width, 3)}."""
        if self._captured is None:
            raise RobotError("no picture was taken yet; call capture_sensor_data first")
        wanted = self._captured if sensor_names is None else sensor_names
        return {name: dict(self._captured[name]) for name in wanted}

    def _picture(self, name: str) -> NetworkPicture:
        """How a camera's frames become pictures: in the simulated camera's size, once there is one."""
        if name not in self._pictures:
            size = has = self.robot_file.cameras[name].size
            if self._sim_agent is not None and name in (sensors := self._sim_agent.scene.sensors):
                config: Any = sensors[name].config
                size = config.height, config.width
            if size[0] != size[1] and size != has:
                raise RobotError(
                    f"camera '{name}': Sim2RealEnv would cut the simulation's {size[1]}x{size[0]} to a square and "
                    "stretch it; use policy_port.robots.RealEnv, which does not"
                )
            self._pictures[name] = NetworkPicture(
                picture_spec(name, size=size, camera_size=has, crop=middle(has, size))
            )
        return self._pictures[name]

    def _arm(self) -> ArmSession:
        if self._session is None:
            raise RobotError("the arm is not open; call start first")
        return self._session

    def _wait(self) -> None:
        if self._sent_at is not None:
            self._time.sleep_until(self._sent_at + self._period - self._ahead)

    def _measure(self) -> None:
        if self._fresh and self.use_cached_qpos:
            return
        arm = self._arm()
        self._wait()
        with arm.driving() as supervisor:
            supervisor.read(arm.state)
        self._fresh = True

    def _feed_back(self, target: Array) -> None:
        try:
            controllers = list(position_controllers("Sim2RealEnv", self._sim_agent.controller))
        except TaskError:
            # Another controller computes its next target from the pose, which is measured.
            return
        feed_back(controllers, self._order().simulated(target))

    def _order(self) -> JointOrder:
        """The simulated robot's, or the robot file's own where there is none yet."""
        names = self.robot_file.joint_names
        if self._sim_agent is None:
            return JointOrder("the arm", names, names)
        return JointOrder("the simulated robot", [j.name for j in self._sim_agent.robot.active_joints], names)

    def _in(self, qpos: Any) -> Array:
        values = torch.as_tensor(qpos).reshape(1, -1)
        if values.shape[1] != len(self.robot_file.joint_names):
            joints = len(self.robot_file.joint_names)
            raise TaskError(f"the arm has {joints} joints, given: {values.shape[1]} positions")
        return self._order().measured(values)


def _described(robot: SOFollower | RobotFile | Path | str, robot_file: RobotFile | Path | str) -> RobotFile:
    if isinstance(robot, RobotFile):
        return robot
    if isinstance(robot, Path | str):
        return load_robot_file(robot)
    known = robot_file if isinstance(robot_file, RobotFile) else load_robot_file(robot_file)
    if robot.is_connected:
        raise RobotError("LeRobot's robot is connected; disconnect it: two programs can't drive one arm")
    config = robot.config
    if config.use_degrees != known.use_degrees:
        raise RobotError(
            f"LeRobot's robot has use_degrees={config.use_degrees}, the robot file's joint map is for "
            f"use_degrees: {str(known.use_degrees).lower()}"
        )
    cameras = {name: _camera(name, camera) for name, camera in config.cameras.items()}
    return known.model_copy(
        update={
            "port": config.port,
            "id": config.id or known.id,
            "calibration_dir": config.calibration_dir,
            **({"cameras": cameras} if cameras else {}),
        }
    )


def _camera(name: str, config: Any) -> CameraBounds:
    if not isinstance(config, OpenCVCameraConfig) or None in (config.width, config.height, config.fps):
        raise RobotError(
            f"camera '{name}': give an OpenCVCameraConfig with width, height and fps, or name it in a robot file"
        )
    source = config.index_or_path
    size = {key: getattr(config, key) for key in ("width", "height", "fps")}
    return CameraBounds.model_validate({"source": source if isinstance(source, int) else str(source), **size})
