"""Starting a case's process, and telling how it ended."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from policy_port.regress.child import RESULT, Job


def perform(job: Job) -> dict[str, Any]:
    """Run a job to its end.

    Returns:
        What the process wrote, or {"crashed": how it ended}; and "seconds" that it took.
    """
    started = time.monotonic()
    out = Path(job.out)
    (out / "job.json").write_text(json.dumps(dataclasses.asdict(job)), encoding="utf-8")
    # One thread each: as many cases run side by side as the user asks for, and sums keep their order.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    environment.setdefault("MPLBACKEND", "Agg")
    with open(out / "log.txt", "wb") as log:
        try:
            code = subprocess.run(
                [sys.executable, "-m", "policy_port.regress.child", str(out / "job.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=job.timeout,
                env=environment,
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
    seconds = time.monotonic() - started
    if code == 0 and (out / RESULT).is_file():
        return {**json.loads((out / RESULT).read_text(encoding="utf-8")), "seconds": seconds}
    return {"crashed": _how(code, job.timeout, out / "log.txt"), "seconds": seconds}


def _how(code: int | None, timeout: float, log: Path) -> str:
    if code is None:
        return f"its process was killed after {timeout:g} s; raise the case's timeout if it needs longer"
    if code < 0:
        return f"its process crashed with {signal.Signals(-code).name}"
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"its process ended with status {code}: {lines[-1].strip() if lines else 'it said nothing'}"
