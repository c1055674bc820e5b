"""The base's quaternion in a trace, whichever way its recorder writes it."""

from __future__ import annotations

import numpy as np

from policy_port.verdict.evidence import Evidence, Values


def base_quaternion(evidence: Evidence, where: str) -> Values:
    """Orientation of the base in the world, wxyz whatever the header says it was recorded in."""
    return wxyz(evidence, evidence.array("base_quat", wanted_by=where))


def wxyz(evidence: Evidence, quat: Values) -> Values:
    """A recorded quaternion as wxyz."""
    return np.roll(quat, 1, axis=2) if recorded_quaternion_order(evidence) == "xyzw" else quat


def recorded_quaternion_order(evidence: Evidence) -> str:
    """The header's quaternion_order, or what its units say of base_quat; wxyz where neither speaks."""
    units = evidence.header.get("units")
    stated = evidence.header.get("quaternion_order") or (units.get("base_quat", "") if isinstance(units, dict) else "")
    return "xyzw" if str(stated).startswith("xyzw") else "wxyz"
