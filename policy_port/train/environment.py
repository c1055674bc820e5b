"""A velocity task on a plant as RSL-RL's vectorised environment: every policy sees it through its own contract."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.contract.sensing import Sensing
from policy_port.control.action import ActionDecoder
from policy_port.control.inner_loop import inner_loop
from policy_port.control.plant import PlantState, Sensed, SimulatedPlant
from policy_port.errors import RobotError, TaskError, TrainError
from policy_port.plants.dynamic import DynamicPlant
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.tasks.velocity import VelocityTask
from policy_port.train.disturbance import LateTargets, Pushes, Randomised, SensorNoise
from policy_port.train.groups import make_groups
from policy_port.train.labels import ActionConversion
from policy_port.train.scoring import Scoring
from policy_port.train.tensors import TensorDict

Rows = NDArray[np.bool_]
AT_ONCE = 0.1
"""Time in which no robot falls that a policy could hold up [s]."""


class PlantEnvironment:
    """Environments of one plant for RSL-RL, which asks no base class (rsl_rl.env.VecEnv lists what it asks).

    An observation group per contract, under its name: built by the code of a replay from the same measurement. The
    group `acting` drives the plant, and it alone sees the task's sensor noise.
    """

    def __init__(
        self,
        plant: SimulatedPlant,
        contracts: Mapping[str, Contract],
        acting: str,
        task: VelocityTask,
        *,
        seed: int,
        device: str = "cpu",
    ) -> None:
        """Connect them and begin; see `make_environment`."""
        self.plant, self.task, self.acting, self.seed = plant, task, acting, seed
        self.groups = make_groups(contracts, acting, plant)
        """What each contract sees, by the name of its observation group."""
        own = self.groups[acting]
        self.contract, self.signals = own.contract, own.signals
        self._conversions = {
            name: ActionConversion(own.contract, group.contract)
            for name, group in self.groups.items()
            if name != acting
        }
        self._reshapes = own.contract.action.reshapes_raw
        self._raw_bounds = {name: np.array(self.groups[name].contract.raw_bounds) for name in self._conversions}
        self.num_envs, self.num_actions, self.device = plant.num_envs, own.contract.action_size, torch.device(device)
        self.max_episode_length = max(1, round(task.episode / own.contract.control_dt))
        """Control steps of an episode that no fall ends."""
        self.cfg: dict[str, Any] = {
            "task": task.model_dump(mode="json"),
            "contracts": {name: contract.sha256 for name, contract in contracts.items()},
            "plant": plant.name,
            "num_envs": plant.num_envs,
        }
        """What the environment was made of, for whoever keeps records."""
        self._decoder = ActionDecoder(own.contract, own.signals)
        decimation = round(own.contract.control_dt / plant.timestep)
        self._late = LateTargets(plant, task, decimation)
        if self._late.any and own.contract.action.inner:
            raise TaskError(
                f"task '{task.name}' draws randomisation.delay, and contract '{own.contract.name}' states "
                f"action.{own.contract.action.inner[0]}: both say when targets reach the drives; leave one out"
            )
        self._perform = self._late if self._late.any else inner_loop(plant, self, decimation)
        self._randomised = Randomised(task, own.contract, plant)
        self._pushes = Pushes(task.push, plant, task.base, own.contract.control_dt)
        self._noise = SensorNoise(task.noise, plant.num_envs, len(plant.joint_names))
        self._default = own.signals.default_joint_pos()
        senses = Sensing.of([task.senses, *(group.senses for group in self.groups.values())])
        self._state = PlantState.allocate(self.num_envs, len(plant.joint_names))
        if any(senses):
            sensed = Sensed.allocate(senses, self.num_envs, len(plant.joint_names))
            self._state = dataclasses.replace(self._state, sensed=sensed)
        self._scoring = Scoring(task, own.contract, plant.joint_names, self._default)
        self._command = np.zeros((self.num_envs, 3))
        self._until_told, self._steps = np.zeros(self.num_envs), np.zeros((self.num_envs, 1))
        self.begin(seed)

    def begin(self, seed: int) -> None:
        """Start every environment anew: nothing of what was before shows in anything after.

        Args:
            seed: Of all that is drawn from here on.
        """
        self._rng = np.random.default_rng(seed)
        if isinstance(self.plant, DynamicPlant):
            self.plant.reseed(seed)
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self._randomised.begin(self._rng)
        self._late.begin(self._rng)
        everyone = np.ones(self.num_envs, dtype=np.bool_)
        self._start(everyone)
        self._scoring.begin(self._state)
        self._observations = self._observe(everyone)

    def get_observations(self) -> TensorDict:
        """The present observations, shape (num_envs, observation size) under each group's name."""
        return self._observations

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Do one control step in every environment; those whose episode ends start anew at once.

        Args:
            actions: Raw actions of the acting group, shape (num_envs, action size).

        Returns:
            Observations after it (of a new episode, where one ended), rewards, dones (1 where an episode ended), and
            extras: "time_outs" where it ended by its time alone, "log" with the mean of each reward term [per s].

        Raises:
            TrainError: When an action or a reward term is no number.
        """
        raw = actions.detach().to("cpu", torch.float32).numpy()
        if raw.shape != (self.num_envs, self.num_actions):
            raise TrainError(
                f"actions have shape {raw.shape}; group '{self.acting}' acts by contract '{self.contract.name}', which "
                f"has {self.num_envs} rows of {self.num_actions}"
            )
        if not np.isfinite(raw).all():
            raise TrainError(
                f"the network's action is NaN or infinite in environment {int(np.argmax(~np.isfinite(raw).all(1)))}"
            )
        self._pushes.apply(self._rng)
        self._perform(self._decoder.decode(raw))
        self.plant.read(self._state)
        rewards, failed = self._scoring.judge(self._state, self._command, self.signals.last_action)
        lengths = self.episode_length_buf + 1
        self.episode_length_buf = lengths
        late = lengths.cpu().numpy() >= self.max_episode_length
        ended = failed | late
        log = {f"reward/{name}": value for name, value in self._scoring.means().items()}
        log |= {f"error/{name}": value for name, value in self._scoring.errors().items()}
        log["episode/failures per step"] = float(failed.mean())
        extras = {"time_outs": self._tensor(late & ~failed), "log": log}
        returned = self._tensor(rewards.astype(np.float32)), self._tensor(ended.astype(np.int64))
        self._share_action()
        self._steps += 1.0
        self._until_told -= 1.0
        if ended.any():
            self.episode_length_buf = torch.where(returned[1] > 0, 0, lengths)
            self._start(ended)
        self._tell((self._until_told <= 0.0) & ~ended)
        self._observations = self._observe(ended)
        return self._observations, *returned, extras

    def actions_as(self, values: torch.Tensor, *, of: str, to: str) -> torch.Tensor:
        """Raw actions of one group's contract as those of another's that mean the same targets, by joint name.

        Args:
            values: Raw actions, shape (..., action size of `of`).
            of: The group whose actions they are.
            to: The group in whose actions they are to be said.

        Raises:
            TrainError: When a group does not exist, or no actions of the other mean the same.
        """
        for name in (of, to):
            if name not in self.groups:
                raise TrainError(f"there is no observation group '{name}'; there are: {', '.join(self.groups)}")
        return ActionConversion(self.groups[of].contract, self.groups[to].contract).labels(values)

    @property
    def failure(self) -> str:
        """When a robot counts as fallen, in words."""
        return self._scoring.rule

    def close(self) -> None:
        """Free the simulator."""
        self.plant.close()

    def _start(self, rows: Rows) -> None:
        """Start the next episode of environments."""
        start, width = self._default.copy(), self.task.start.joint_pos
        if width:
            start[rows] += self._rng.uniform(-width, width, (int(rows.sum()), start.shape[1]))
        self.plant.reset(start, rows)
        self.plant.read(self._state)
        self._scoring.reset(self._state, rows)
        self._pushes.start(rows, self._rng)
        self._steps[rows] = 0.0
        self._tell(rows)

    def _tell(self, rows: Rows) -> None:
        """Draw new commands for environments, and how long they hold."""
        count, told = int(rows.sum()), self.task.command
        if not count:
            return
        ranges = np.array([told.lin_vel_x, told.lin_vel_y, told.ang_vel_z])
        drawn = self._rng.uniform(ranges[:, 0], ranges[:, 1], (count, 3))
        drawn[self._rng.random(count) < told.standing] = 0.0
        self._command[rows] = drawn
        seconds = self._rng.uniform(*told.resample, count)
        self._until_told[rows] = np.maximum(1.0, np.round(seconds / self.contract.control_dt))

    def _share_action(self) -> None:
        """Tell the other groups what was done, each in its own terms."""
        for name, convert in self._conversions.items():
            signals = self.groups[name].signals
            least, most = self._raw_bounds[name]
            np.clip(convert(self.signals.last_action), least, most, out=signals.last_action)
            signals.joint_target[...] = self.signals.joint_target
            if self._reshapes:
                signals.filtered_action[...] = convert(self.signals.filtered_action)

    def _observe(self, started: Rows) -> TensorDict:
        """Build every group's observation of the state as it stands."""
        built = {}
        some = bool(started.any())
        for name, group in self.groups.items():
            group.measure(self._state, self._command)
            if some:
                group.reset(started)
            if name == self.acting:
                if some:
                    self._late.start(started, group.signals.joint_target)
                self._noise.add(group.signals.state, self._rng)
            np.multiply(self._steps, self.contract.control_dt, group.signals.time)
            built[name] = self._tensor(group.build())
        return TensorDict(built, batch_size=[self.num_envs], device=self.device)

    def _tensor(self, values: Array | NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(values).to(self.device)


def make_environment(
    *,
    plant: SimulatedPlant | str,
    robot: str | Path,
    contracts: Mapping[str, Contract],
    acting: str,
    task: VelocityTask,
    num_envs: int,
    seed: int,
    device: str = "cpu",
) -> PlantEnvironment:
    """Stand a robot up and give it a velocity task, as an environment for RSL-RL.

    Args:
        plant: A plant that stands already, set up from the acting contract; or the name of a simulator.
        robot: Robot file, or the name of a robot that comes with ManiSkill.
        contracts: A contract per observation group: {"student": ..., "teacher": ...}, {"actor": ..., "critic": ...}.
        acting: The group whose actions drive the plant.
        task: What it is to do.
        num_envs: Number of environments.
        seed: Of all that is drawn.
        device: Torch's device of what comes out; where the plant runs, is the plant's business.

    Raises:
        RobotError: When the robot can't be stood up or does not fit a contract.
        TaskError: When the task is for another robot, or a contract reads what no velocity task gives.
        TrainError: When the contracts describe different robots.
    """
    if acting not in contracts:
        raise TrainError(f"no contract is given for '{acting}', which is to act; there are: {', '.join(contracts)}")
    made = (
        make_plant(plant, robot, PlantSetup.from_contract(contracts[acting], ported=False), num_envs=num_envs)
        if isinstance(plant, str)
        else plant
    )
    if made.num_envs != num_envs:
        raise TrainError(f"the plant has {made.num_envs} environments, and {num_envs} are asked for")
    try:
        refuse_other_robot(task, made, robot)
        _refuse_pointless(task, contracts[acting])
        return PlantEnvironment(made, contracts, acting, task, seed=seed, device=device)
    except BaseException:
        if made is not plant:
            made.close()
        raise


def _refuse_pointless(task: VelocityTask, acting: Contract) -> None:
    """Refuse what nothing can be learnt from: an episode without a step, a contract that can't know what it is told."""
    if task.episode < 2.0 * acting.control_dt:
        raise TaskError(
            f"task '{task.name}': episode {task.episode:g} s is over within two control periods of "
            f"{acting.control_dt:g} s; state it in seconds"
        )
    ranges = (task.command.lin_vel_x, task.command.lin_vel_y, task.command.ang_vel_z)
    told = any(term.term in ("velocity_command", "command") for term in acting.observation.terms)
    if not told and any(low != high for low, high in ranges):
        raise TaskError(
            f"contract '{acting.name}', which acts, has no observation term 'velocity_command', and task '{task.name}' "
            "draws commands: it could not know what it is told. Add the term, or let the task tell one command alone"
        )


def refuse_hopeless(environment: PlantEnvironment) -> None:
    """Refuse a task whose every episode ends as it begins, and begin anew.

    Raises:
        TaskError: Saying what may end them.
    """
    task, dt = environment.task, environment.contract.control_dt
    failed = torch.zeros(environment.num_envs, dtype=torch.bool, device=environment.device)
    still = torch.zeros(environment.num_envs, environment.num_actions)
    for _ in range(max(1, round(AT_ONCE / dt))):
        _, _, ended, extras = environment.step(still)
        failed |= ended.bool() & ~extras["time_outs"].bool()
    environment.begin(environment.seed)
    if failed.all():
        touching = ", ".join(task.terminations.contact_links)
        raise TaskError(
            f"task '{task.name}': every episode ends within {AT_ONCE:g} s, as actions of zero show: "
            f"{environment.failure}{f', or one of {touching} touching something' if touching else ''}. Loosen "
            "`terminations` in the task; links on which the robot stands don't belong in contact_links"
        )


def refuse_other_robot(task: VelocityTask, plant: SimulatedPlant, robot: str | Path) -> None:
    """Refuse a task whose links the robot does not have.

    Raises:
        TaskError: Naming the link, and those that the robot has.
    """
    wanted = {f"feet.{name}.link": foot.link for name, foot in task.feet.items()} | {"base": task.base}
    wanted |= {f"terminations.contact_links ({link})": link for link in task.terminations.contact_links}
    for key, link in wanted.items():
        try:
            plant.link_position(link)
        except RobotError as cause:
            raise TaskError(
                f"task '{task.name}' is made for {task.robot}, and its {key} is not on this robot. {cause}. Write a "
                "task file with this robot's links"
            ) from None
