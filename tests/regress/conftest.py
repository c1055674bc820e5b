"""What the tests of regression suites share."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policy_port.regress import process

ONE_AT_A_TIME = threading.Lock()


def here(job: process.Job, on_start: object = None) -> dict[str, Any]:
    """What `process.perform` does, in this process: imports take longer than most cases."""
    started = time.monotonic()
    with ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process.do(job)
    result = json.loads((Path(job.out) / process.RESULT).read_text(encoding="utf-8"))
    return {**result, "seconds": time.monotonic() - started}


@pytest.fixture(scope="module")
def cases_run_here() -> Iterator[None]:
    """Verdicts are those of test_run.py, where each case has a process of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "perform", here)
        yield
