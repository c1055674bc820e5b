"""Which output of an ONNX graph is the action: as told, or where it is certain."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

ACTIONS = "actions"
"""The role of the action among those that a user names."""
_MEANS = ("mu", "mean", "loc")
"""How trainers name the mean of a Gaussian; it is the action where everything beside it is known to be none."""
_BESIDE = re.compile(r"(log_?)?(std|sigma|prob|probs)|sigmas|stds?|values?|neglogp|entropy|v|critic", re.IGNORECASE)
"""Outputs of a trainer's network that are no actions."""
_NO_ACTION = re.compile(r"std|sigma|var|prob|value|entropy|prev|last|mask", re.IGNORECASE)
"""What an output with `action` in its name is not, if it says this too."""


def action_output(names: Sequence[str], given: Mapping[str, str]) -> str | None:
    """Name of the output that is the action; None where that is not certain.

    Args:
        names: The outputs that carry no state.
        given: Outputs by the role that the user names; an output that is not there decides nothing.
    """
    if ACTIONS in given:
        return given[ACTIONS] if given[ACTIONS] in names else None
    exact = [name for name in names if name.lower() in ("actions", "action")]
    alike = [name for name in names if "action" in name.lower() and not _NO_ACTION.search(name)]
    means = [name for name in names if name.lower() in _MEANS]
    if means and any(name not in means and not _BESIDE.fullmatch(name) for name in names):
        means = []
    for found in (exact, alike, means, list(names)):
        if found:
            return found[0] if len(found) == 1 else None
    return None
