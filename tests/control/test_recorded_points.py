"""What Isaac Lab and mjlab observed of themselves: the velocity at a point follows from the link's, to rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract, load_contract
from policy_port.control.observation import ObservationBuilder
from policy_port.control.plant import Mounting
from policy_port.control.signals import Signals
from policy_port.trace import Trace

pytestmark = pytest.mark.shared


@pytest.mark.parametrize(
    ("case", "point", "at"),
    [
        ("isaaclab_base_lin_vel_is_com/g1", "com", (0.0, 0.0, -0.07605)),
        ("mjlab_base_lin_vel_is_imu", {"sensor": "robot/imu_lin_vel"}, (0.04525, 0.0, -0.08339)),
        ("mjlab_base_lin_vel_is_imu", [0.04525, 0.0, -0.08339], (0.0, 0.0, 0.0)),
    ],
)
def test_the_simulator_s_own_observation_is_that_of_the_point(
    shared: Path, case: str, point: Any, at: tuple[float, float, float]
) -> None:
    """The recorded velocity of the link's origin, moved to the point, is what was observed; unmoved it is not."""
    folder = shared / "failing_inputs" / "peers" / case
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    trace = Trace(folder / "trace.npz")
    plain = load_contract(folder / "contract.yaml")
    steps, rows = trace["base_lin_vel"].shape[:2]
    worst = {}
    for stated in (point, "link"):
        data = plain.model_dump(exclude_none=True)
        data["observation"]["terms"] = [{"term": "base_lin_vel", "point": stated}]
        mounting = Mounting(np.tile(at, (rows, 1)), np.eye(3), "velocimeter", "robot/imu_in_pelvis")
        signals = Signals(
            Contract.model_validate(data), trace.header["joint_names"], rows, lambda place, found=mounting: found
        )
        builder = ObservationBuilder(signals.contract, signals)
        off = []
        for step in range(steps):
            for name in ("base_lin_vel", "base_ang_vel", "base_quat"):
                getattr(signals.state, name)[:] = trace[name][step]
            off.append(np.abs(builder.build() - trace["observation"][step, :, :3]).max())
        worst[str(stated)] = max(off)
    assert worst[str(point)] < 2e-6
    assert worst["link"] > 0.1
