"""Bundles of LEAPP of the contracts of real policies."""

from __future__ import annotations

from pathlib import Path

import pytest

from policy_port.contract import load_contract
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.registry import import_contract
from policy_port.errors import ContractError
from tests.descriptors.outwards.test_leapp_bundle import Runner, same_targets, written

REAL = sorted(path.stem for path in (Path(__file__).parents[2] / "real_policies").glob("*.yaml"))


BEYOND = {
    "mujoco_playground_go1": "the base link's, not those of imu",
    "openwbt_loco": "with standing: phase",
    "rl_sar_g1_dance_102": "motion_command",
    "robojudo_g1_jump_wose": "motion_command",
    "unitree_cpp_deploy_g1_dailylife": "motion_command",
}
"""Real contracts that no runner of LEAPP can be told, and by what."""


@pytest.mark.parametrize("name", REAL)
def test_contracts_of_real_policies(tmp_path: Path, name: str) -> None:
    """Each is written and does the same, or what of it can't be is named."""
    contract = load_contract(Path(__file__).parents[2] / f"real_policies/{name}.yaml")
    if name in BEYOND:
        with pytest.raises(ContractError, match=BEYOND[name]):
            written(tmp_path, contract)
        return
    path = written(tmp_path, contract)
    same_targets(path, contract, Runner(path))
    assert import_contract([path], None, ImportOptions(name="again")).contract == contract
