"""Numbers of the right type that no policy can mean are refused where they are written."""

from __future__ import annotations

from typing import Any

import pytest

from policy_port.contract import Contract
from tests.samples import contract_data


def observing(*terms: dict[str, Any], **more: Any) -> dict[str, Any]:
    return contract_data(observation={"terms": [{"term": "joint_pos"}, *terms]}, **more)


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (observing({"term": "gait_phase", "period": 1.0, "offsets": []}), "offsets"),
        (observing({"term": "constant", "value": []}), "value"),
        (
            observing({"term": "gait_clock", "elements": [{"wave": "sin"}], "period": 1.0, "standing": "freeze",
                       "below": 0.1, "norm_of": []}),
            "norm_of",
        ),
        (contract_data(timestep=1e-9), "timestep"),
        (contract_data(timestep=100.0), "timestep"),
        (contract_data(decimation=10**9), "decimation"),
        (contract_data(action={"terms": [{"term": "joint_velocity", "joints": [], "scale": 1}]}), "joints"),
        (
            observing({"term": "motion_joint_pos"}, motion={"align": "none", "end": "hold", "rate": 1e9}),
            "rate",
        ),
    ],
)  # fmt: skip
def test_what_no_policy_can_mean_is_refused(data: dict[str, Any], where: str) -> None:
    """An empty list where numbers are, a physics step of a nanosecond, a motion of a billion frames a second."""
    with pytest.raises(ValueError, match=where):
        Contract.model_validate(data)


def test_a_clock_by_the_command_stays_a_clock() -> None:
    """A share of a cycle that may be 0, and a frequency below zero, are refused."""
    clock = {"term": "gait_clock", "elements": [{"wave": "sin"}]}
    clock |= {"frequency": "gait_frequency", "stance": "stance_share"}
    pace, share = {"range": [1.0, 3.0], "default": 2.0}, {"range": [0.4, 0.6], "default": 0.5}
    right = {"gait_frequency": pace, "stance_share": share}
    assert Contract.model_validate(observing(clock, command=right)).command.element("stance_share").default == 0.5
    for wrong, message in (
        ({"stance_share": {"range": [0.0, 1.0]}}, "a share of a cycle lies between 0 and 1"),
        ({"stance_share": share | {"range": [-1.0, 0.6]}}, "a share of a cycle lies between 0 and 1"),
        ({"gait_frequency": pace | {"range": [-1.0, 3.0]}}, "would run backwards"),
    ):
        with pytest.raises(ValueError, match=message):
            Contract.model_validate(observing(clock, command=right | wrong))
