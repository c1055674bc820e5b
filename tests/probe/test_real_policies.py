"""Claims about policies that public projects trained: benchmarks/probe.py counts many more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from policy_port.checkpoints import load_policy
from policy_port.contract import Contract, load_contract
from policy_port.mistakes.orders import known_orders
from policy_port.probe.file import open_probed
from policy_port.probe.network import Network, ordinary_observations
from policy_port.probe.orders import Orders, judge_orders
from policy_port.probe.probe import probe
from tests.conftest import SHARED
from tests.probe.test_orders import called, mends, orders

CONTRACTS = Path(__file__).resolve().parents[1] / "real_policies"
HELD = {file.stem for file in (SHARED / "real_policies/policies").glob("*")}
NAMES = sorted(file.stem for file in CONTRACTS.glob("*.yaml") if file.stem in HELD)

pytestmark = pytest.mark.shared


def policy_file(shared: Path, name: str) -> Path:
    return next(file for file in (shared / "real_policies").glob(f"*/{name}.*") if file.suffix in (".pt", ".onnx"))


def opened(shared: Path, name: str) -> tuple[Contract, Network]:
    return load_contract(CONTRACTS / f"{name}.yaml"), Network(load_policy(policy_file(shared, name)).actor)


def judged(network: Network, stated: Contract) -> Orders:
    return judge_orders(stated, network.response(ordinary_observations(stated, np.random.default_rng(0))))


@pytest.mark.parametrize("name", [*NAMES, "openwbt_loco", "pbhc_horse_stance"])
def test_a_right_contract_has_no_fault(shared: Path, name: str) -> None:
    """Nothing is claimed of it, and no input of it is dead."""
    found = probe(load_policy(policy_file(shared, name)).actor, load_contract(CONTRACTS / f"{name}.yaml"), policy=name)
    assert (found.faults, found.doubts, found.blocks.dead, found.blocks.loud) == ((), (), (), ())


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("unitree_rl_lab_g1_29dof", "observation"),
        ("unitree_rl_lab_g1_29dof", "action"),
        ("unitree_rl_lab_g1_29dof", "all"),
        ("newton_assets_physx_go2", "all"),
        ("newton_assets_mjw_go2", "observation"),
        ("newton_assets_mjw_anymal", "action"),
    ],
)
def test_the_order_of_another_parser_is_told(shared: Path, name: str, place: str) -> None:
    """Isaac Lab's for MuJoCo's, or the other way: the right contract is among those that the edits make."""
    right, network = opened(shared, name)
    known = known_orders(right, ()).items()
    order = next(order for order, who in known if "exchanged" not in who and order != right.joint_names)
    wrong = called(right, order, place)
    found = judged(network, wrong)
    assert orders(right) in mends(found, wrong)
    assert orders(wrong) not in mends(found, wrong)


def test_a_wired_pair_with_a_history_has_no_fault(shared: Path, tmp_path: Path) -> None:
    """A policy that reads ten steps through an encoder, and the newest one beside it: nothing of it is loud."""
    folder, stated = shared / "real_policies/two_networks", load_contract(CONTRACTS / "tron1_pf.yaml")
    parts = {
        "encoder": {"file": str(folder / "tron1_pf.encoder.onnx"), "inputs": "past"},
        "policy": {
            "file": str(folder / "tron1_pf.policy.onnx"),
            "inputs": ["encoder", {"of": "past", "ages": 0}, "velocity_command"],
        },
    }
    data = {"networks_version": 1, "parts": parts, "result": "policy"}
    (tmp_path / "networks.yaml").write_text(yaml.safe_dump(data))
    policy, _ = open_probed(tmp_path / "networks.yaml", CONTRACTS / "tron1_pf.yaml")
    found = probe(policy.actor, stated, policy="tron1_pf")
    assert (found.faults, found.doubts, found.blocks.dead, found.blocks.loud) == ((), (), (), ())
