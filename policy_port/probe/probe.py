"""`inspect --probe`: all that a network tells of its contract, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from policy_port.checkpoints.actor import Actor
from policy_port.contract.spec import Contract, check_network_width
from policy_port.errors import CheckpointError
from policy_port.probe.blocks import Blocks, measure_blocks
from policy_port.probe.extremes import Extreme, measure_extremes
from policy_port.probe.mirror import turned
from policy_port.probe.network import Network, Response, ordinary_observations
from policy_port.probe.orders import Orders, judge_orders


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """What was found."""

    contract: Contract
    """The contract that the network is said to have."""
    response: Response
    """The derivatives."""
    blocks: Blocks
    """Which block moves which action."""
    orders: Orders
    """Joint orders and symmetry."""
    extremes: tuple[Extreme, ...]
    """What it does at the ends of its terms; empty where an ordinary action is not finite."""
    seed: int
    """Seed of the observations."""
    grey: tuple[str, ...]
    """Images that were shown as plain grey."""

    @property
    def faults(self) -> tuple[str, ...]:
        """What is certain to be wrong with network or contract, a sentence each."""
        found = []
        if self.orders.because:
            found.append(f"the joints are in another order than stated ({self.orders.because})")
        if self.blocks.still:
            found.append(f"nothing moves the action of {', '.join(self.blocks.still)}")
        broken = [extreme.label for extreme in self.extremes if extreme.broken]
        if broken:
            found.append(f"an action is not finite with {', '.join(broken)} at the ends of its range")
        return tuple(found)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What may be wrong, a sentence each."""
        if self.blocks.exchanged is None:
            return ()
        position, velocity, ratio = self.blocks.exchanged
        return (
            f"{velocity} moves the actions {ratio:.3g} times as much per unit/s as {position} per unit: the two may be "
            "exchanged, or the scale of one is not the one trained with",
        )

    @property
    def ok(self) -> bool:
        """True when nothing is certain to be wrong, which is no proof that all is right."""
        return not self.faults

    def document(self) -> dict[str, Any]:
        """What was found, for programs."""
        fit = self.orders.fit
        return {
            "ok": self.ok,
            "faults": list(self.faults),
            "doubts": list(self.doubts),
            "actions": list(self.contract.action_joint_names),
            "blocks": [
                {
                    "term": block.label,
                    "share": block.share,
                    "shares": list(block.shares),
                    "newest": block.newest,
                    "per_unit": block.per_unit,
                }
                for block in self.blocks.blocks
            ],
            "dead": [str(slot) for slot in self.blocks.dead],
            "loud": [{"number": str(slot), "times": times} for slot, times in self.blocks.loud],
            "orders": [
                {
                    "term": term.label,
                    "verdict": term.verdict,
                    "standing": {"stated": term.stated, "best_in_use": term.best, "best": term.free},
                    "chance": term.chance,
                }
                for term in self.orders.terms
            ],
            "symmetry": {
                "can_not_be_told": self.orders.silent or None,
                "stated": None if fit is None else fit.value,
                "best": self.orders.best_fit,
                "signs": None if fit is None else fit.signs,
                "against_defaults": [] if fit is None else list(turned(self.contract, fit)),
            },
            "looks_like": [
                {
                    "words": other.words,
                    "known": other.known,
                    "edits": [{"key": e.key, "from": e.before, "to": e.after} for e in other.edits(self.contract)],
                }
                for other in self.orders.looks_like
            ],
            "extremes": [
                {
                    "term": extreme.label or None,
                    "finite": not extreme.broken,
                    "growth": None if extreme.broken else extreme.growth,
                    "raw_clipped": extreme.clipped,
                    "beyond_limits": extreme.beyond,
                    "unseen": extreme.unseen,
                    "stuck": extreme.stuck,
                }
                for extreme in self.extremes
            ],
            "drawn": {"seed": self.seed, "derivatives": self.response.by, "grey_images": list(self.grey)},
        }


def probe(actor: Actor, contract: Contract, *, policy: str, seed: int = 0) -> Probe:
    """Probe a network.

    Args:
        actor: The network.
        contract: The contract that it is said to have.
        policy: Its file, for errors.
        seed: Seed of the observations that are drawn.

    Raises:
        ContractError: When the widths differ.
        CheckpointError: When the network gives actions that are not finite on ordinary observations.
    """
    check_network_width(contract, actor.obs_size, actor.action_size, policy=policy)
    network = Network(actor)
    obs = ordinary_observations(contract, np.random.default_rng(seed))
    response = network.response(obs)
    if not (np.isfinite(response.actions).all() and np.isfinite(response.square).all()):
        raise CheckpointError(
            f"{policy}: on ordinary observations an action or its derivative is not finite, so there is nothing to "
            "probe; look at the normaliser and the weights with `policy-port inspect`"
        )
    return Probe(
        contract=contract,
        response=response,
        blocks=measure_blocks(contract, response),
        orders=judge_orders(contract, response),
        extremes=measure_extremes(contract, network, obs, response),
        seed=seed,
        grey=tuple(image.name for image in actor.images),
    )
