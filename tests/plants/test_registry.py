"""A simulator has one row, and whoever names simulators names those that have one."""

from __future__ import annotations

from typing import get_args

from policy_port.cli.plant_options import PlantName
from policy_port.plants.registry import SIMULATORS
from policy_port.regress.play import PlantCase
from policy_port.report.about import LIBRARIES


def test_whoever_names_simulators_names_those_of_the_registry() -> None:
    """--plant, a suite's `simulator`, and the versions that a report states."""
    assert {str(name) for name in PlantName} == SIMULATORS.keys()
    assert set(get_args(PlantCase.model_fields["simulator"].annotation)) == SIMULATORS.keys()
    assert {package for simulator in SIMULATORS.values() for package in simulator.packages} <= set(LIBRARIES)
