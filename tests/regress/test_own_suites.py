"""The project's own policies still do what they did: the suites of `regress/`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SUITES = Path(__file__).resolve().parents[2] / "regress"

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cases_run_here")]


def test_the_embedded_policy(policy_port_suite: Callable[..., Any]) -> None:
    """The SO100 reach policy in MuJoCo and ManiSkill; a simulator that is not here is skipped."""
    verdicts = policy_port_suite(SUITES / "so100_reach.regress.yaml", jobs=1)
    assert {verdict.status for verdict in verdicts} <= {"pass", "skipped"}


@pytest.mark.shared
def test_real_policies(policy_port_suite: Callable[..., Any]) -> None:
    """Six policies that public projects trained, walking in MuJoCo."""
    verdicts = policy_port_suite(SUITES / "real_policies.regress.yaml", jobs=1)
    assert {verdict.status for verdict in verdicts} <= {"pass", "skipped"}
