"""One policy's actions in another's terms: the raw action that gives every joint the same target, by joint name."""

from __future__ import annotations

import numpy as np
import torch

from policy_port.arrays import Array
from policy_port.contract import Contract
from policy_port.deploy.targets import joint_targets
from policy_port.errors import TrainError


class ActionConversion:
    """Raw actions of one contract turned into those of another that mean the same targets."""

    def __init__(self, source: Contract, target: Contract) -> None:
        """Plan it.

        Args:
            source: Whose raw actions are given.
            target: Whose raw actions come out.

        Raises:
            TrainError: When no raw action of `target` means the same, saying why.
            ContractError: When a joint is in a unit that has no fixed ratio to SI.
        """
        given, wanted = joint_targets(source), joint_targets(target)
        words = f"actions of contract '{source.name}' can't be said in those of contract '{target.name}'"
        for one, other, label in ((given, wanted, source.name), (wanted, given, target.name)):
            only = [name for name in one if name not in other]
            if only:
                raise TrainError(
                    f"{words}: only '{label}' drives {', '.join(only)}. Both must drive the same joints; a contract's "
                    "action.terms say which, and a mapping renames them"
                )
        _refuse_unlike(source, target, words)
        flat = [name for name in wanted if wanted[name].gain == 0.0]
        if flat:
            raise TrainError(f"{words}: action scale of {', '.join(flat)} is 0 in '{target.name}'; state another one")
        order = list(given)
        self.identity = source.action == target.action and given == wanted and order == list(wanted)
        """Whether both mean the same by the same numbers."""
        self._index = np.array([order.index(name) for name in wanted], dtype=np.intp)
        first, second = [given[name] for name in wanted], list(wanted.values())
        self._lower, self._upper = (np.array(bounds)[self._index] for bounds in source.raw_bounds)
        self._gain, self._bias = (np.array([getattr(j, key) for j in first]) for key in ("gain", "bias"))
        self._low, self._high = (np.array([j.clip[side] for j in first]) for side in (0, 1))
        self._per_target = 1.0 / np.array([j.gain for j in second])
        self._zero = np.array([j.bias for j in second])

    def __call__(self, values: Array) -> Array:
        """Convert raw actions, shape (..., action size), in the order of the source's action to the target's."""
        if self.identity:
            return values
        raw = np.clip(values[..., self._index], self._lower, self._upper)
        return (np.clip(raw * self._gain + self._bias, self._low, self._high) - self._zero) * self._per_target

    def labels(self, values: torch.Tensor) -> torch.Tensor:
        """The same of tensors, on their device; what both contracts say alike passes through unclipped."""
        if self.identity:
            return values

        def like(array: Array) -> torch.Tensor:
            return torch.as_tensor(array, dtype=values.dtype, device=values.device)

        chosen = values[..., torch.as_tensor(self._index, device=values.device)]
        raw = torch.minimum(torch.maximum(chosen, like(self._lower)), like(self._upper))
        target = torch.minimum(
            torch.maximum(raw * like(self._gain) + like(self._bias), like(self._low)), like(self._high)
        )
        return (target - like(self._zero)) * like(self._per_target)


def _refuse_unlike(source: Contract, target: Contract, words: str) -> None:
    """Refuse actions that no affine map turns into each other."""
    given, wanted = joint_targets(source), joint_targets(target)
    for name, joint in given.items():
        for what, one, other in (
            ("its target is", source.drives[name], target.drives[name]),
            ("its action adds to", joint.reference, wanted[name].reference),
        ):
            if one != other:
                raise TrainError(f"{words}: joint '{name}': {what} {one} in '{source.name}', {other} in the other")
    for key in ("delay", "filter", "between"):
        one, other = getattr(source.action, key), getattr(target.action, key)
        if one != other:
            raise TrainError(
                f"{words}: action.{key} differs: {one} in '{source.name}', {other} in '{target.name}'. Write the same "
                "in both: what a policy asked for before takes effect later, so their actions are not comparable"
            )
