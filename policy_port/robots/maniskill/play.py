"""A port at the controls of an arm in a ManiSkill task: the loop of every run, with the task's own code in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array, Float32
from policy_port.camera.env_file import EnvFile
from policy_port.camera.scene import arrange, make_options
from policy_port.camera.stills import write_still
from policy_port.contract import Contract
from policy_port.control.action import ActionDecoder
from policy_port.control.controller import Controller
from policy_port.control.plant import Plant
from policy_port.control.signals import Signals
from policy_port.errors import TaskError
from policy_port.port.pilot import Pilot
from policy_port.port.runtime import Policy
from policy_port.replay.env_cameras import FLAT, EnvCameras, flat_state, observation_mode
from policy_port.replay.open_env import check_fit, registered
from policy_port.replay.recording import tip_position
from policy_port.replay.result import Episode, Metric
from policy_port.robots.arm.cameras import ArmCameras
from policy_port.robots.arm.preflight import check_joints
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.arm.session import ArmSession
from policy_port.robots.jobs.pictures import PLACEMENT, Pictures, enlarged, write_views
from policy_port.robots.jobs.reach_job import TIP, FixedLengthEpisodes, judged
from policy_port.robots.maniskill.placed import Placed, deployed
from policy_port.robots.maniskill.table import Table
from policy_port.robots.maniskill.task import RealTask
from policy_port.robots.maniskill.terms import SCENES, Origin
from policy_port.tasks.reach import ReachTask

NUMBERS = "state"
"""Observation mode, and part of one, without pictures."""
TRIES = 5
"""Actions on which the contract and the task's controller have to agree."""
APART = 1e-4
"""How far their targets may be apart [rad]."""


def open_task(
    env_id: str, robot: RobotFile, contract: Contract, control_mode: str | None, scene: EnvFile | None = None
) -> tuple[RealTask, EnvCameras | None]:
    """Open a task in the observation mode that a policy reads, with its cameras in the size that it was trained with.

    Args:
        env_id: Name under which the task is registered.
        robot: The arm.
        contract: The policy's.
        control_mode: One of the task's controllers; its own default, if None.
        scene: The environment file that says where the task's camera is; as the task has it, if None.

    Raises:
        TaskError: When the task does not fit, or an arm can't deliver what it observes.
        MissingDependencyError: When ManiSkill can't start here.
    """
    if scene is not None and not contract.images:
        raise TaskError(f"contract '{contract.name}' reads no picture, so there is no camera: leave --config out")
    mode = observation_mode(env_id, registered(env_id).SUPPORTED_OBS_MODES, contract)
    # What else a camera shows in the simulation, and where it stands there, no policy of this mode reads.
    besides = [] if mode == NUMBERS else ["sensor_param", *(set(mode.split("+")) - {FLAT, NUMBERS})]
    options: dict[str, Any] = {"obs_mode": mode, "control_mode": control_mode, "without": besides}
    if scene is not None:
        options |= make_options(deployed(scene))
    task = RealTask(env_id, robot, **options)
    if scene is not None:
        arrange(task.base, deployed(scene))
    if not contract.images:
        return task, None
    try:
        cameras = EnvCameras(env_id, task.base, contract)
        if (sizes := cameras.options()) is None:
            return task, cameras
    except BaseException:
        task.close()
        raise
    task.close()
    options["sensor_configs"] = sizes
    return RealTask(env_id, robot, **options), cameras


class TaskJob:
    """A ManiSkill task on an arm; see `policy_port.robots.jobs.reach_job.RealJob`."""

    def __init__(
        self,
        task: RealTask,
        cameras: EnvCameras | None = None,
        placed: Placed | None = None,
        table: Table | None = None,
    ) -> None:
        """Do `task`; whoever opened it closes it.

        Args:
            task: The task.
            cameras: Which of its cameras the policy looks through; none, if None.
            placed: Where the camera is and what was stored of it; nothing is checked, if None.
            table: An emulated arm's, on which things are laid by themselves; a person lays them, if None.

        Raises:
            TaskError: When its episodes never end.
        """
        from policy_port.tasks.so100_reach_env import SO100ReachEnv

        if task.max_episode_steps is None:
            raise TaskError(f"{task.env_id}: its episodes never end, so there is no end to what the arm would do")
        self._task, self._cameras, self._steps = task, cameras, task.max_episode_steps
        self._placed, self._table = placed, table
        self._reach: ReachTask | None = task.base.task if isinstance(task.base, SO100ReachEnv) else None
        self.tip_links: tuple[str, ...] = () if self._reach is None else self._reach.tip_links
        listed = {str(origin): [path for path, o in task.origins.items() if o is origin] for origin in Origin}
        self.words = {
            "task": f"{task.env_id} under {task.base.control_mode}, {self._steps} steps an episode",
            "observation": "; ".join(f"{origin}: {', '.join(paths)}" for origin, paths in listed.items() if paths),
            **({"success": "nobody measured it: look"} if self._reach is None else {"tip": TIP}),
        }
        self.header: dict[str, Any] = {
            "task": task.env_id,
            "control_mode": task.base.control_mode,
            "origins": {path: str(origin) for path, origin in task.origins.items()},
        }

    def check(self, pilot: Pilot, robot: RobotFile) -> None:
        """See `RealJob`.

        Raises:
            TaskError: When the contract is not the task's.
            RobotError: When it is not the arm's.
        """
        contract = pilot.contract
        check_joints(contract, robot, pilot.flown_through)
        base = self._task.base
        # What the arm delivers may be less than the task observes, and is read whole.
        width = flat_state(base._init_raw_obs, base.device).shape[-1]
        check_fit(self._task.env_id, base, contract, [("state", width)])
        check_actions(contract, self._task)
        self._trained = [] if self._placed is None else self._placed.check_trained(contract)
        self._robot = robot
        self._pictures = Pictures(self._task.cameras, robot, None if self._placed is None else self._placed.env)

    def controller(self, pilot: Pilot, session: ArmSession) -> Controller:
        """See `RealJob`."""
        policy = pilot.open(1)
        self._task.watch(lambda name: self._pictures.fit(name, session.cameras.frame(name, fresh=True)))

        def parts(contract: Contract, signals: Signals, observation: Float32) -> tuple[TaskObservation, TaskAction]:
            seen = TaskObservation(self._task, contract, signals, policy, self._cameras)
            return seen, TaskAction(self._task, contract, signals)

        return Controller(pilot.contract, policy, session.arm.joint_names, 1, parts)

    def look(self, controller: Controller, cameras: ArmCameras, folder: Path) -> str:
        """Write a picture of what the arm's cameras see beside what the simulation's see in the same pose.

        No number tells a camera that stands elsewhere, is turned over, or has red and blue exchanged; an eye does.
        """
        if not self._task.cameras:
            return ""
        self._task.restart(controller.state)
        names = list(self._task.cameras)
        pairs = [(self._pictures.fit(name, cameras.frame(name)), self._task.drawn(name)) for name in names]
        views = [enlarged(np.concatenate(pair, axis=1)) for pair in pairs]
        file = write_views(folder, views, axis=0)
        return self._look_placed(controller, cameras, folder) + (
            f"{file}: left what {', '.join(names)} shows, right the simulation in the same pose. Where they differ in "
            "more than looks, end here. "
        )

    def _look_placed(self, controller: Controller, cameras: ArmCameras, folder: Path) -> str:
        """Check the camera, and show where objects belong.

        Raises:
            CameraError: When the camera is not as its view says.
        """
        if self._placed is None:
            return ""
        name, positions = self._placed.env.camera_name, controller.state.joint_pos[0].tolist()
        joints = dict(zip(self._robot.joint_names, positions, strict=True))
        told = self._trained + self._placed.check(cameras, self._robot, joints)
        file = folder / PLACEMENT
        write_still(file, self._placed.placement(self._pictures.fit(name, cameras.frame(name))))
        return "".join(f"{line}. " for line in told) + f"{file} shows where the simulation's episodes start. "

    def episodes(self, seeds: range, session: ArmSession) -> TaskEpisodes:
        """See `RealJob`."""
        return TaskEpisodes(self._task, self._reach, self._steps, seeds, self._ask(session))

    def _ask(self, session: ArmSession) -> Callable[[str], None]:
        """Have the scene laid, by the person in front of the arm where nothing else does."""

        def lay(question: str) -> None:
            if self._table is None or not self._table.lay():
                session.ask(question)

        return lay

    def found(self, episodes: TaskEpisodes) -> tuple[tuple[Episode, ...], list[Metric]]:
        """See `RealJob`."""
        if self._reach is not None:
            return judged(episodes.finished)
        return (), [episodes.counted()]


class TaskObservation:
    """What the task's own code observes of the arm; see `policy_port.control.controller.ObservationPart`."""

    def __init__(
        self, task: RealTask, contract: Contract, signals: Signals, policy: Policy, cameras: EnvCameras | None
    ) -> None:
        self._task, self._clip = task, contract.observation.clip
        self._signals, self._policy, self._cameras = signals, policy, cameras

    def build(self) -> None:
        """Fill the policy's observation, and show it what the cameras see."""
        state, observation = self._signals.state, self._policy.observation
        # What the limits let through of the last target is what the task's controller counts from.
        self._task.sent(self._signals.joint_target)
        self._task.measured(state.joint_pos, state.joint_vel)
        told = self._task.observe()
        observation[...] = flat_state(told, self._task.base.device).numpy()
        if self._clip is not None:
            np.clip(observation, *self._clip, out=observation)
        if self._cameras is not None:
            self._cameras.show(told, self._policy)

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Let the task's controller start from where the arm is."""
        self._task.restart(self._signals.state)


class TaskAction:
    """Targets by the task's own controller; see `policy_port.control.controller.ActionPart`."""

    def __init__(self, task: RealTask, contract: Contract, signals: Signals) -> None:
        self._task, self._bounds, self._signals = task, contract.raw_bounds, signals

    def decode(self, action: Float32) -> Array:
        """Set the last action and the targets [rad], shape (1, joints), in the arm's joint order."""
        last = self._signals.last_action
        last[...] = np.clip(action, *self._bounds)
        self._signals.joint_target[...] = self._task.targets(last[0])
        return self._signals.joint_target


class TaskEpisodes(FixedLengthEpisodes):
    """Episodes of a task that end by their length; whether they succeeded is said of the reach task only."""

    def __init__(
        self, task: RealTask, reach: ReachTask | None, steps: int, seeds: range, ask: Callable[[str], None]
    ) -> None:
        super().__init__(steps, len(seeds))
        self._task, self._reach, self._seeds, self._ask = task, reach, seeds, ask
        self._scene = SCENES.get(task.env_id)
        self._goal = np.full(3, np.nan)
        self.finished: dict[int, Episode] = {}
        """Those that could be judged, by their number."""

    def _prepare(self, start: Array, goal: Array) -> None:
        start[...] = self._task.begin(self._seeds[self._number])
        goal[...] = np.nan
        if self._reach is not None:
            # Commanded by the task's seed, as in the simulation.
            self._goal = self._task.base.goal[0].numpy().astype(np.float64)
            if goal.size:
                # A policy that sees the goal reads none.
                goal[...] = self._goal
        if self._scene is not None:
            self._ask(self._scene)

    def _look(self, plant: Plant, controller: Controller, over: bool) -> None:
        if over and self._reach is not None:
            self._end(tip_position(plant, self._reach.tip_links), None)

    def stop(self, why: str, tip: Array | None) -> None:
        """See `ArmEpisodes`."""
        super().stop(why, tip)
        self._end(tip, why)

    def _end(self, tip: Array | None, why: str | None) -> None:
        """Judge the episode by where the tip is [m], shape (1, 3), and by why it was stopped, if it was."""
        if self._reach is None:
            return
        distance = math.inf if tip is None else float(np.linalg.norm(tip[0] - self._goal))
        self.finished[self._number] = Episode(
            seed=self._seeds[self._number],
            steps=self._age,
            success=why is None and distance <= self._reach.success_distance,
            final_distance=distance,
            stopped=why,
        )


def check_actions(contract: Contract, task: RealTask) -> None:
    """Hold what the contract says of actions against what the task's controller makes of them.

    Raises:
        TaskError: Naming a joint for which they differ: another control mode, or another contract.
    """
    joints = len(task.joint_names)
    signals = Signals(contract, task.joint_names, 1)
    decoder = ActionDecoder(contract, signals)
    rng = np.random.default_rng(0)
    for _ in range(TRIES):
        signals.state.joint_pos[...] = rng.uniform(-0.2, 0.2, joints)
        held = rng.uniform(-0.2, 0.2, (1, joints))
        action = rng.uniform(-1.0, 1.0, (1, contract.action_size)).astype(np.float32)
        signals.joint_target[...] = held
        said = decoder.decode(action).copy()
        task.measured(signals.state.joint_pos, np.zeros_like(held))
        task.sent(held)
        done = task.targets(np.clip(action, *contract.raw_bounds))
        worst = int(np.abs(said - done).argmax())
        if abs(said[0, worst] - done[0, worst]) > APART:
            joint = task.joint_names[worst]
            raise TaskError(
                f"{task.env_id}: under {task.base.control_mode}, an action moves the target of {joint} to "
                f"{done[0, worst]:.3f} rad, contract '{contract.name}' says {said[0, worst]:.3f}. Name the "
                "controller that the policy was trained with (--control-mode), or correct the contract"
            )
