"""One control step: signals to observation, observation to action, action to targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array, Float32
from policy_port.contract.layout import observation_slots
from policy_port.contract.spec import Contract, check_network_width
from policy_port.control.action import ActionDecoder
from policy_port.control.observation import ObservationBuilder
from policy_port.control.plant import PlantState
from policy_port.control.signals import Mountings, Signals
from policy_port.deploy.runtime import Bound, RowStep, detour
from policy_port.errors import TaskError
from policy_port.motion.motion import Motion
from policy_port.port.runtime import NonFiniteError, OnnxPolicy, Policy


class ObservationPart(Protocol):
    """Makes the policy's input of signals; see `ObservationBuilder`."""

    def build(self) -> object:
        """Fill the policy's observation."""
        ...

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Forget the past of environments; of all, if `rows` is None."""
        ...


class ActionPart(Protocol):
    """Makes targets of the policy's output; see `ActionDecoder`."""

    def decode(self, action: Float32) -> Array:
        """Set `signals.last_action` and `signals.joint_target`, and return the latter."""
        ...


Parts = Callable[[Contract, Signals, Float32], tuple[ObservationPart, ActionPart]]
"""Makes both parts of a controller from contract, signals and the policy's input."""


def contract_parts(contract: Contract, signals: Signals, observation: Float32) -> tuple[ObservationPart, ActionPart]:
    """Observation and action as the contract says."""
    return ObservationBuilder(contract, signals, observation), ActionDecoder(contract, signals)


class Controller:
    """A policy at the controls of a plant.

    Its `state`, `command` and `goal` are there to be filled in place: `plant.read(controller.state)`. The targets of
    one call stay valid until the next one.
    """

    def __init__(
        self,
        contract: Contract,
        policy: Policy,
        plant_joint_names: Sequence[str],
        num_envs: int,
        parts: Parts = contract_parts,
        mountings: Mountings | None = None,
        motion: Motion | None = None,
    ) -> None:
        """Connect a policy to a plant's joints by name.

        Args:
            contract: The contract of the policy's inputs and outputs.
            policy: The policy, with `num_envs` rows.
            plant_joint_names: Joint names in the plant's order.
            num_envs: Number of environments.
            parts: Who makes observations and targets where that is not the contract alone: a task's own code.
            mountings: Where places are on the base: `plant.mounting`. Contracts need it whose base terms name a centre
                of mass, a site or a sensor.
            motion: The clip that the policy follows, where it reads one.

        Raises:
            RobotError: When the plant lacks a joint or a place of the contract.
            ContractError: When the policy's widths are not the contract's.
            TaskError: When an observation term needs a task environment.
        """
        self.contract = contract
        self.policy = policy
        self.signals = Signals(contract, plant_joint_names, num_envs, mountings)
        self.signals.motion = motion
        check_network_width(contract, policy.observation.shape[1], policy.action_size, policy="the policy")
        self._observation, self._decoder = parts(contract, self.signals, policy.observation)
        self.action: Float32 = np.zeros((num_envs, contract.action_size), np.float32)
        """What the network put out in the last step, before raw_clip, shape (num_envs, action size)."""
        self._keeps_time = contract.keeps_time
        self._steps = np.zeros((num_envs, 1))
        self._period = np.array(contract.control_dt)
        self.path = detour(contract, policy, num_envs) if parts is contract_parts else "a task computes the observation"
        """Why a step is more than one call of a session; "" where it is one."""
        self._perform = self._in_parts if self.path else self._in_one_call()

    @property
    def state(self) -> PlantState:
        """The measurement that the next step works on, in the plant's joint order."""
        return self.signals.state

    @property
    def command(self) -> Array:
        """What the next step is told, shape (num_envs, elements), in the order of `contract.command.names`."""
        return self.signals.command

    @property
    def goal(self) -> Array:
        """The goal that the next step works on, shape (num_envs, goal size)."""
        return self.signals.goal

    @property
    def observation(self) -> Float32:
        """What the network saw in the last step, shape (num_envs, observation size)."""
        return self.policy.observation

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Forget the past of environments whose start pose was just read into `state`; of all, if `rows` is None."""
        self.signals.reset(rows)
        self._observation.reset(rows)
        self.policy.reset(rows)
        self._steps[slice(None) if rows is None else rows] = 0.0

    def default_joint_pos(self) -> Array:
        """The contract's default pose [rad or m], shape (num_envs, joints), plant joint order."""
        return self.signals.default_joint_pos()

    def __call__(self) -> Array:
        """Do one control step.

        Returns:
            Joint targets [SI], each in its drive's quantity, shape (num_envs, joints), plant joint order.

        Raises:
            TaskError: When an observation or an action is NaN or infinite, naming it.
        """
        return self._perform()

    def _count(self) -> None:
        """What time it is in this step."""
        np.multiply(self._steps, self._period, self.signals.time)
        self._steps += 1.0

    def _in_parts(self) -> Array:
        if self._keeps_time:
            self._count()
        try:
            self._observation.build()
            self.action = self.policy.act()
        except NonFiniteError as cause:
            raise TaskError(explain(cause, self.contract)) from None
        return self._decoder.decode(self.action)

    def _in_one_call(self) -> Callable[[], Array]:
        """The step as one call; all that it needs is at hand, since each look for it would be a share of the step."""
        policy, observation = self.policy, self._observation
        assert isinstance(policy, OnnxPolicy)
        assert isinstance(observation, ObservationBuilder)
        step = RowStep(self.contract, Bound(row=self.signals.row, layout=self.signals.layout, policy=policy))
        updates = (self._count, *observation.updates) if self._keeps_time else observation.updates
        call, told, target, self.action = step.call, step.told, self.signals.joint_target, policy.answer
        first, *others = updates or (lambda: None,)

        def perform() -> Array:
            first()
            if others:
                for update in others:
                    update()
            call()
            # Of anything finite this is zero, and false.
            if told[0] * 0.0:
                try:
                    step.explain()
                except NonFiniteError as cause:
                    raise TaskError(explain(cause, self.contract)) from None
            return target

        return perform


def explain(cause: NonFiniteError, contract: Contract) -> str:
    """Say which term or joint of the contract is not finite."""
    of = f"of contract '{contract.name}' in environment {cause.env} is {cause.value}"
    if cause.what == "observation":
        slot = observation_slots(contract)[cause.element]
        return f"observation {slot} {of}: the simulation diverged or the measurement is broken"
    joint = contract.action_joint_names[cause.element]
    return f"action of joint '{joint}' {of}, though every observation is finite: the policy is broken"
