"""What plays as if it were right is told where it is checked, exported and played."""

from __future__ import annotations

from typing import Any

import pytest

from policy_port.contract import Contract
from policy_port.contract.doubts import doubts, undriven
from policy_port.errors import TaskError
from policy_port.replay.held import Held
from policy_port.replay.play import check_job
from tests.samples import LEGS, contract_data


def delayed(delay: Any = None, **more: Any) -> Contract:
    data = contract_data(**more)
    if delay is not None:
        data["action"]["delay"] = delay
    return Contract.model_validate(data)


def test_a_delay_that_nobody_vouches_for_is_told() -> None:
    """A stated source silences it, and no delay raises it; one of seconds is told in any case."""
    assert doubts(delayed()) == doubts(delayed(1, sources={"action.delay": "the training's configuration"})) == []
    (said,) = doubts(delayed(1))
    assert "nothing says where it is from" in said
    assert "hardly a trained delay" in doubts(delayed(1000, sources={"action": "it"}))[0]


def test_a_delay_longer_than_the_episode_is_refused_until_more_seconds_are_given() -> None:
    """Counted in control steps or in physics steps."""
    for delay in (50, {"physics_steps": 200, "fill": "start"}):
        late = delayed(delay)
        seconds = late.action.late.seconds(late.timestep, late.decimation)
        with pytest.raises(TaskError, match="give more --seconds"):
            check_job(late, Held(command=(0.0, 0.0, 0.0), seconds=seconds))
        assert "nothing says where it is from" in " ".join(
            check_job(late, Held(command=(0.0, 0.0, 0.0), seconds=seconds + 0.1))
        )


def test_joints_that_nothing_drives_are_listed() -> None:
    """In the contract's order; none where the action drives all."""
    assert undriven(delayed()) == ()
    data = contract_data()
    data["action"]["terms"][0]["joints"] = LEGS[1:]
    assert undriven(Contract.model_validate(data)) == (LEGS[0],)
