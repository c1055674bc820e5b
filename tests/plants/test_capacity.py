"""More environments than memory holds are refused before it is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_port.errors import RobotError
from policy_port.plants.capacity import refuse_too_many
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("kind", ["mujoco", "newton", "maniskill"])
def test_a_thousand_million_are_refused(kind: str, processes: int) -> None:
    """Before anything is read; fewer, as the message asks for, have room."""
    setup = PlantSetup(joints=(), actuation="implicit", timestep=0.01, control_dt=0.01, floating=False)
    with pytest.raises(RobotError, match=r"1000000000 environments in .* fewer with --num-envs"):
        make_plant(kind, Path("none.xml"), setup, num_envs=10**9, processes=processes)
    refuse_too_many(1000, 8192, kind)
