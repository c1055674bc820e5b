"""Where places are on the base, kept in a baseline so that its stored states can be observed again without a robot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from policy_port.contract import Contract
from policy_port.contract.base_terms import MeasuredTerm
from policy_port.contract.place import Place
from policy_port.control.plant import Mounting, Plant
from policy_port.control.signals import Mountings
from policy_port.errors import RobotError

AT = "at "
"""How the arrays begin that say where a place is on the base; its name in words follows."""


def stored_places(plant: Plant, contract: Contract) -> dict[str, NDArray[Any]]:
    """Where the places of the contract's base terms are: position and axes, row by row, shape (12,) each."""
    terms = [term for term in contract.observation.terms if isinstance(term, MeasuredTerm)]
    found = {f"{AT}{place}": plant.mounting(place) for term in terms for place in term.places}
    return {name: np.concatenate([at.position[0], at.rotation.reshape(-1)]) for name, at in found.items()}


def places_stored(arrays: Mapping[str, NDArray[Any]]) -> Mountings:
    """The other way round: places out of arrays of such rows, of which the first is taken."""

    def mounting(place: Place | Literal["com"]) -> Mounting:
        if (name := f"{AT}{place}") not in arrays:
            raise RobotError(
                f"the baseline does not hold where {place} is on the robot, which the contract asks for; write it anew "
                "with --update"
            )
        row = arrays[name][0].astype(np.float64)
        return Mounting(row[None, :3], row[3:].reshape(3, 3))

    return mounting
