"""A case whose policy reads the velocity of a named place: the baseline keeps where that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_port.checkpoints import load_policy
from policy_port.contract import Contract
from policy_port.contract.place import Place
from policy_port.errors import RobotError
from policy_port.export.write import write_port
from policy_port.regress import load_suite
from policy_port.regress.baseline import load_baseline
from policy_port.regress.places import places_stored
from policy_port.regress.run import run_suite
from policy_port.regress.update import update_suite
from policy_port.remap import identity_remap
from tests.control.networks import save_linear
from tests.regress.toy import write_cases
from tests.samples import LEGS, contract_data

pytestmark = pytest.mark.usefixtures("cases_run_here")

ROBOT = "<mujoco><worldbody><body name='base'><freejoint/>{}</body></worldbody>{}</mujoco>".format(
    "<inertial pos='0.02 0.01 -0.03' mass='2' diaginertia='.02 .02 .02'/><site name='imu' pos='.1 0 0' quat='1 0 0 1'/>"
    + "".join(
        f"<body pos='{0.2 * i} 0 0'><joint name='{name}' axis='0 1 0'/><geom size='0.02' pos='0 0 -0.1'/></body>"
        for i, name in enumerate(LEGS)
    ),
    "<sensor><velocimeter name='imu_lin_vel' site='imu'/></sensor>",
)


def write(folder: Path, *places: dict[str, Any]) -> Path:
    """A suite of one case that falls, and reads the velocity of each place."""
    terms = [{"term": "base_lin_vel", "name": f"v{i}", **place} for i, place in enumerate(places)]
    contract = Contract.model_validate(
        contract_data(
            base={"floating": True, "height": 1.0}, observation={"terms": [*terms, {"term": "velocity_command"}]}
        )
    )
    matrix = np.random.default_rng(0).normal(size=(contract.observation_size, 4)) * 0.2
    policy = load_policy(save_linear(folder / "linear.onnx", matrix))
    write_port(folder / "port", policy, identity_remap(contract), formats=("onnx",))
    (folder / "toy.xml").write_text(ROBOT)
    return write_cases(folder, "base")


@pytest.mark.slow
def test_the_stored_states_are_observed_again_at_their_points(tmp_path: Path) -> None:
    """A baseline holds the places that the contract names, and its open loop passes with them."""
    pytest.importorskip("mujoco")
    places = ({"point": "com"}, {"point": {"sensor": "imu_lin_vel"}}, {"point": [0.1, 0.2, 0.3]})
    suite = load_suite(write(tmp_path, *places))
    assert [item.written for item in update_suite(suite)] == [True]
    arrays = load_baseline(suite, suite.cases[0]).arrays
    np.testing.assert_allclose(arrays["in_at com"][0, :3], (0.02, 0.01, -0.03), atol=1e-7)
    np.testing.assert_allclose(arrays["in_at sensor imu_lin_vel"][0, 3:], (0, -1, 0, 1, 0, 0, 0, 0, 1), atol=1e-7)
    assert [verdict.status for verdict in run_suite(suite)] == ["pass"]


def test_a_place_that_the_baseline_lacks_is_asked_for() -> None:
    """The message names the place and what writes it; the places that are there are found."""
    row = np.array([[0.02, 0.0, -0.03, *np.eye(3).reshape(-1)]])
    find = places_stored({"at com": row})
    np.testing.assert_array_equal(find("com").position, [[0.02, 0.0, -0.03]])
    with pytest.raises(RobotError, match=r"where site imu is .*--update"):
        find(Place(site="imu"))
