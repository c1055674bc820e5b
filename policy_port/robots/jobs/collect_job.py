"""A plan performed: on an arm as a job like any other, in a simulator as its preview."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array, Float32
from policy_port.contract import Contract
from policy_port.control.controller import Controller
from policy_port.control.loop import Observer, SimulatedTime, run
from policy_port.control.plant import Plant, SimulatedPlant
from policy_port.port.images import CameraInputs
from policy_port.port.pilot import Pilot
from policy_port.replay.recording import TraceObserver, plant_header, setting_of
from policy_port.replay.result import Episode, Metric, Result, number
from policy_port.robots.arm.cameras import ArmCameras
from policy_port.robots.arm.preflight import check_contract
from policy_port.robots.arm.robot_file import RobotFile
from policy_port.robots.arm.session import ArmSession
from policy_port.robots.emulator.simulated import ARMATURE, DAMPING, EFFORT_LIMIT, STIFFNESS, TIMESTEP
from policy_port.robots.jobs.excitation import PlannedEpisode
from policy_port.robots.jobs.plan import Plan
from policy_port.robots.jobs.reach_job import FixedLengthEpisodes
from policy_port.trace import Recorder


def plan_pilot(plan: Plan, file: Path, robot: RobotFile) -> Pilot:
    """What is at the controls: a contract of joint targets in the arm's order, and the plan's bytes for its hash."""
    period = 1.0 / plan.control_frequency
    decimation = max(1, round(period / TIMESTEP))
    drive = {"stiffness": STIFFNESS, "damping": DAMPING, "armature": ARMATURE, "effort_limit": EFFORT_LIMIT}
    rest = dict(zip(robot.joint_names, robot.pose("rest"), strict=True))
    joints = {
        name: {"default": rest[name], "lower": robot.joints[name].lower, "upper": robot.joints[name].upper, **drive}
        for name in robot.joint_names
    }
    contract = Contract.model_validate(
        {
            "contract_version": 1,
            "name": f"plan {file.stem}",
            "robot": robot.name,
            "trained_in": "nowhere: a plan of excitation",
            "quaternion_order": "none",
            "timestep": period / decimation,
            "decimation": decimation,
            "base": {"floating": False},
            "actuation": {"kind": "implicit"},
            "joints": joints,
            "observation": {"terms": [{"term": "joint_pos"}]},
            "action": {"terms": [{"term": "joint_position", "scale": 1.0, "offset": 0.0}]},
        }
    )
    return Pilot(onnx=file, network_contract=contract, held={file: file.read_bytes()})


class PlannedTargets:
    """The next row of a plan at each step, whatever is observed; see `Policy`."""

    images: CameraInputs = {}

    def __init__(self, episodes: tuple[PlannedEpisode, ...]) -> None:
        self._episodes, self._number, self._step = episodes, 0, 0
        self.action_size = episodes[0].targets.shape[1]
        self.observation: Float32 = np.zeros((1, self.action_size), np.float32)

    def begin(self, number: int) -> None:
        """The next steps are of this episode."""
        self._number, self._step = number, 0

    def act(self) -> Float32:
        """Targets [rad], shape (1, joints), the arm's order; the last one for ever where the episode is over."""
        targets = self._episodes[self._number].targets
        row = targets[min(self._step, len(targets) - 1)]
        self._step += 1
        return row[None].astype(np.float32)

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Begin the episode again."""
        self._step = 0


class PlannedRun(FixedLengthEpisodes):
    """The episodes of a plan, one after the other; each begins at its first target."""

    def __init__(self, episodes: tuple[PlannedEpisode, ...], policy: PlannedTargets, columns: list[int]) -> None:
        """Perform `episodes`; `columns` are the plan's joints in the plant's order."""
        super().__init__(0, len(episodes))
        self._episodes, self._policy, self._columns = episodes, policy, columns
        self._lags: list[float] = []

    def _prepare(self, start: Array, goal: Array) -> None:
        targets = self._episodes[self._number].targets
        self._steps = len(targets)
        self._policy.begin(self._number)
        start[0] = targets[0][self._columns]

    def _look(self, plant: Plant, controller: Controller, over: bool) -> None:
        lag = controller.signals.joint_target - controller.state.joint_pos
        self._lags.append(float(np.mean(lag**2)))

    def metrics(self) -> list[Metric]:
        """How many came to their end, and how far the joints stayed behind."""
        lag = float(np.sqrt(np.mean(self._lags))) if self._lags else None
        return [self.counted(), number("lag_rms", lag, "rad", 4)]


class CollectJob:
    """A plan on an arm; see `policy_port.robots.jobs.reach_job.RealJob`."""

    def __init__(self, plan: Plan, file: Path, robot: RobotFile, episodes: tuple[PlannedEpisode, ...]) -> None:
        self.pilot = plan_pilot(plan, file, robot)
        """What is at the controls."""
        self._episodes, self._names, self.policy = episodes, robot.joint_names, PlannedTargets(episodes)
        self.count = len(episodes)
        """Number of episodes."""
        self.steps = sum(len(one.targets) for one in episodes)
        """Number of control steps."""
        self.tip_links: tuple[str, ...] = ()
        listed = [
            {"label": one.label, "use": one.use, "seconds": len(one.targets) / plan.control_frequency}
            for one in episodes
        ]
        held = sum(one.use == "held_out" for one in episodes)
        self.seconds = sum(one["seconds"] for one in listed)
        """Length of the plan without the ways between its episodes [s]."""
        self.words = {
            "plan": f"{file.name}: {len(episodes)} episodes, {self.seconds:.0f} s, {held} of them held out of fits",
            "success": "no task: what was recorded is the result",
        }
        self.header: dict[str, Any] = {"plan": plan.model_dump(mode="json"), "planned": listed}

    def check(self, pilot: Pilot, robot: RobotFile) -> None:
        """See `RealJob`."""
        check_contract(pilot.contract, robot, None)

    def controller(self, pilot: Pilot, session: ArmSession) -> Controller:
        """See `RealJob`."""
        return Controller(pilot.contract, self.policy, session.arm.joint_names, 1)

    def look(self, controller: Controller, cameras: ArmCameras, folder: Path) -> str:
        """See `RealJob`."""
        return f"The plan has {len(self._episodes)} episodes and takes about {self.seconds / 60.0:.1f} minutes. "

    def episodes(self, seeds: range, session: ArmSession) -> PlannedRun:
        """See `RealJob`."""
        return self.run_of(session.arm.joint_names)

    def found(self, episodes: PlannedRun) -> tuple[tuple[Episode, ...], list[Metric]]:
        """See `RealJob`."""
        return (), episodes.metrics()

    def run_of(self, joints: tuple[str, ...]) -> PlannedRun:
        """The plan's episodes on a plant of these joints."""
        return PlannedRun(self._episodes, self.policy, [self._names.index(name) for name in joints])


class Preview:
    """The plan of a job in a simulator; see `policy_port.replay.play.Performance`."""

    def __init__(self, job: CollectJob) -> None:
        self._job = job

    def check(self) -> list[str]:
        """A plan is checked when it is made."""
        return []

    def steps(self, num_envs: int) -> int:
        """See `Performance`."""
        return self._job.steps

    def perform(self, pilot: Pilot, plant: SimulatedPlant, *, trace: Path, observers: tuple[Observer, ...]) -> Result:
        """See `Performance`: the plan in a simulator, each episode from standstill."""
        job, contract, queue = self._job, pilot.contract, self._job.run_of(plant.joint_names)
        controller = Controller(contract, job.policy, plant.joint_names, 1)
        header = plant_header(pilot, plant, contract.decimation) | job.header
        with Recorder(trace, header, durable=False) as recorder:
            record = TraceObserver(recorder, contract.control_dt, 1)
            watched = (record, *observers)
            run(plant, controller, queue, decimation=contract.decimation, clock=SimulatedTime(), observers=watched)
            recorder.close()
        return Result(setting={**setting_of(header), **job.words}, metrics=tuple(queue.metrics()), episodes=())
