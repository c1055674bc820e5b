"""Runs that end at once: right numbers or a dash, in the table, the pictures and a comparison; never a warning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policy_port.compare.compare import compare_runs
from policy_port.compare.plots import pictures
from policy_port.compare.run import read_run
from policy_port.contract import Contract
from policy_port.files import write_atomic
from policy_port.port.pilot import Pilot
from policy_port.replay.held import Held, replay_held
from policy_port.replay.report import replay_report
from tests.control.fake_plant import FakePlant
from tests.control.networks import save_linear
from tests.samples import LEGS, contract_data


class Falling(FakePlant):
    """Every environment but the first lies down in each step; the first after `steps` control steps."""

    def __init__(self, steps: int, num_envs: int) -> None:
        super().__init__(LEGS, num_envs)
        self.left = steps

    def step(self, count: int) -> None:
        super().step(count)
        self.left -= 1
        self.truth.base_pos[1 if self.left else 0 :, 2] = 0.0


def short_run(folder: Path, steps: int, num_envs: int, seconds: float, floating: bool) -> Path:
    folder.mkdir()
    contract = Contract.model_validate(contract_data(base={"floating": floating}))
    matrix = np.zeros((contract.observation_size, contract.action_size))
    pilot = Pilot(onnx=save_linear(folder / "policy.onnx", matrix), network_contract=contract)
    plant = Falling(steps, num_envs) if floating else FakePlant(LEGS, num_envs)
    held = Held(command=(0.5, 0.0, 0.0), seconds=seconds)
    result = replay_held(pilot, plant, held, decimation=4, trace=folder / "trace.npz")
    assert "nan" not in result.table().lower()
    assert "NaN" not in result.json()
    write_atomic(folder / "metrics.json", result.json())
    # Pictures take most of the time: those of one step and of two are the odd ones.
    if steps < 3:
        report = replay_report(result, pilot, folder)
        assert report.pictures[0].png.startswith(b"\x89PNG")
        assert "nan" not in report.verdict
    return folder


@pytest.mark.pictures
@pytest.mark.parametrize(("num_envs", "floating"), [(1, True), (3, True), (1, False)])
def test_a_run_that_ends_at_once_is_told_plainly(tmp_path: Path, num_envs: int, floating: bool) -> None:
    """After one step, two or three, of one environment or several, each compared with a longer and a shorter one."""
    runs = []
    for steps in (1, 2, 3, 45):
        seconds = 1.0 if floating else 0.02 * steps
        folder = short_run(tmp_path / str(steps), steps, num_envs, seconds, floating)
        runs.append(read_run(folder, f"{steps} steps"))
    # Each length first and second once; a run of one step beside one of two, and beside a long one.
    for a, b in zip(runs, [*runs[1:], runs[0]], strict=True):
        found = compare_runs([a, b], tagged={}, mappings=[], rankings=())
        assert " nan" not in found.text().lower()
        assert "NaN" not in found.json()
        # A curve of one point is beside a long one.
        if runs[0] is b:
            assert pictures(found)


def test_the_mean_of_episodes_leaves_out_what_has_none(tmp_path: Path) -> None:
    """Two of three environments fall in their first step; tracking and rate are those of the third."""
    contract = Contract.model_validate(contract_data())
    matrix = np.zeros((contract.observation_size, contract.action_size))
    pilot = Pilot(onnx=save_linear(tmp_path / "policy.onnx", matrix), network_contract=contract)
    held = Held(command=(0.0, 0.0, 0.0), seconds=0.5)
    result = replay_held(pilot, Falling(1000, 3), held, decimation=4, trace=tmp_path / "trace.npz")
    assert (result["survival"], result["fallen"]) == (pytest.approx(0.02), 2)
    assert result["action_rate"] == 0.0
    assert result["joint_tracking_rmse"] == pytest.approx(0.0, abs=1e-9)
