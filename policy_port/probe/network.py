"""The derivatives of a network's actions by its observation, on observations drawn as a robot might show them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from policy_port.arrays import Array
from policy_port.checkpoints.actor import Actor, ImageSpec
from policy_port.contract.joint_terms import LastActionTerm, PerJointTerm
from policy_port.contract.layout import observation_slots
from policy_port.contract.spec import Contract
from policy_port.proof.sampling import sample_observations

STEPS, BATCH = 24, 32
"""Length and number of the sequences that are drawn."""
NEAR = 0.5
"""Share of a joint's range and speed, about its default, from which ordinary observations are drawn."""
CELLS = 20_000_000
"""Derivatives held at a time."""
STEP = 1e-3
"""Step of finite differences, in deviations of the number."""
AUTOGRAD, DIFFERENCES = "autograd", "finite differences"
AGREEMENT = 0.05
"""Difference, as a share, up to which autograd's derivatives are what finite differences say."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """How the actions answer to each number of the observation, as the network reads both."""

    mean: Array
    """Mean derivative, shape (actions, numbers)."""
    square: Array
    """Mean square of the derivative, shape (actions, numbers)."""
    actions: Array
    """The actions, shape (rows, actions)."""
    spread: Array
    """Standard deviation of each number of the observation, shape (numbers,)."""
    by: str
    """How the derivatives were taken."""


def ordinary_observations(contract: Contract, rng: np.random.Generator) -> Array:
    """Observations of a robot near its default pose, shape (STEPS, BATCH, numbers), and as the contract clips them."""
    drawn = sample_observations(contract, STEPS, BATCH, rng)["realistic"].astype(np.float64)
    terms = {term.label: term for term in contract.observation.terms}
    for column, slot in enumerate(observation_slots(contract)):
        term = terms[slot.term]
        if isinstance(term, PerJointTerm):
            # Raw actions are drawn about zero.
            default = contract.joints[term.joint(slot.element)].default
            still = 0.0 if isinstance(term, LastActionTerm) else term.still(contract, slot.element, default)
            center = term.entry("scale", slot.element) * still + term.entry("offset", slot.element)
            drawn[..., column] = center + NEAR * (drawn[..., column] - center)
    return drawn


class Network:
    """A network in double precision, asked for actions and for their derivatives."""

    def __init__(self, actor: Actor) -> None:
        # Only the last observation is differentiated by: whatever came before it needs no graph.
        self._actor = copy.deepcopy(actor).double().requires_grad_(False)
        self._images = actor.images

    def actions(self, obs: Array) -> Array:
        """The first action of each sequence's last step, shape (batch, actions).

        Args:
            obs: Observations, shape (steps, batch, numbers); all steps are shown where the network remembers.
        """
        with torch.no_grad():
            return self._last([*torch.from_numpy(obs)]).numpy()

    def response(self, obs: Array) -> Response:
        """The derivatives by the last step's observation, averaged.

        A network that remembers is asked at each sequence's first step, from its state at the start, and at its last.

        Args:
            obs: Observations, shape (steps, batch, numbers).
        """
        rows = [obs[:1], obs] if self._actor.state_names else [obs.reshape(1, -1, obs.shape[-1])]
        spread = obs.reshape(-1, obs.shape[-1]).std(axis=0)
        by = AUTOGRAD if self._agrees(rows[-1][:, :8], spread) else DIFFERENCES
        total, square, count = 0.0, 0.0, 0
        for part in (part for sequences in rows for part in self._parts(sequences)):
            found = self._derivatives(part) if by == AUTOGRAD else self._differences(part, spread)
            total, square, count = total + found.sum(0), square + (found**2).sum(0), count + len(found)
        actions = np.concatenate([self.actions(part) for sequences in rows for part in self._parts(sequences)])
        return Response(
            mean=np.asarray(total) / count,
            square=np.asarray(square) / count,
            actions=actions,
            spread=spread,
            by=by,
        )

    def derivatives(self, obs: Array, response: Response) -> Array:
        """By each sequence's last step, taken as `response` was, shape (batch, actions, numbers)."""
        parts = self._parts(obs)
        if response.by == AUTOGRAD:
            return np.concatenate([self._derivatives(part) for part in parts])
        return np.concatenate([self._differences(part, response.spread) for part in parts])

    def _parts(self, obs: Array) -> Iterator[Array]:
        many = max(1, CELLS // (obs.shape[-1] * self._actor.action_size))
        yield from (obs[:, start : start + many] for start in range(0, obs.shape[1], many))

    def _last(self, obs: list[Tensor]) -> Tensor:
        """The actions of the last of some steps, each of shape (batch, numbers)."""
        batch = len(obs[-1])
        state = self._actor.initial_state(batch, dtype=torch.float64)
        images = [_grey(image, batch) for image in self._images]
        action = obs[-1]
        for step in obs if self._actor.state_names else obs[-1:]:
            action, *rest = self._actor(step, *images, *state)
            state = tuple(rest)
        return action[:, 0] if self._actor.chunk is not None else action

    def _derivatives(self, obs: Array) -> Array:
        """By autograd, shape (batch, actions, numbers)."""
        last = torch.from_numpy(obs[-1]).requires_grad_(True)
        action = self._last([*torch.from_numpy(obs[:-1]), last])
        rows = [
            torch.autograd.grad(action[:, i].sum(), last, retain_graph=True, allow_unused=True, materialize_grads=True)
            for i in range(action.shape[1])
        ]
        return torch.stack([row[0] for row in rows], dim=1).numpy()

    def _differences(self, obs: Array, spread: Array) -> Array:
        """By central differences, shape (batch, actions, numbers)."""
        steps = STEP * np.where(spread > 0.0, spread, 1.0)
        columns = []
        for column, step in enumerate(steps):
            moved = np.zeros(obs.shape)
            moved[-1, :, column] = step
            columns.append((self.actions(obs + moved) - self.actions(obs - moved)) / (2.0 * step))
        return np.stack(columns, axis=-1)

    def _agrees(self, obs: Array, spread: Array) -> bool:
        """Whether autograd sees all that moves the actions; what rounds or looks up has no derivative."""
        try:
            found = self._derivatives(obs)
        except RuntimeError:
            return False
        way = np.random.default_rng(0).standard_normal(obs.shape[-1]) * np.where(spread > 0.0, spread, 1.0)
        moved = np.zeros(obs.shape)
        moved[-1] = STEP * way
        truth = (self.actions(obs + moved) - self.actions(obs - moved)) / (2.0 * STEP)
        wrong = np.median(np.abs(found @ way - truth))
        return bool(wrong <= AGREEMENT * np.median(np.abs(truth)) + 1e-12)


def _grey(image: ImageSpec, batch: int) -> Tensor:
    if image.dtype == "uint8":
        return torch.full(image.shape(batch), 128, dtype=torch.uint8)
    return torch.full(image.shape(batch), 0.5, dtype=torch.float64)
