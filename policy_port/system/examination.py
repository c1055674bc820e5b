"""Looking at this machine.

Drivers that are broken can take the whole process with them, and the heavy libraries take seconds to import, so
each of them is asked in a process of its own, all at the same time.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from policy_port.system.findings import Finding, findings
from policy_port.system.probes import PROBES

PROBE_SECONDS = 120.0
"""How long one probe may take; a cold import of torch from a slow disk has been seen to take a minute."""


def examine() -> tuple[Finding, ...]:
    """Look at everything that simulation, the GPU and the real arm need."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(PROBES)) as pool:
        answers = dict(zip(PROBES, pool.map(probe, PROBES), strict=True))
    return findings(answers, machine())


def machine() -> dict[str, Any]:
    """Return the facts about this machine that the mending commands depend on."""
    import shutil

    release: dict[str, str] = {}
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition("=")
        release[key] = value.strip("\"'")
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "python_path": sys.executable,
        "release": release,
        "nvidia": shutil.which("nvidia-smi") is not None,
        "deb822": Path("/etc/apt/sources.list.d/debian.sources").is_file(),
        "root": os.geteuid() == 0,
        "home": str(Path.home()),
    }


def probe(name: str, seconds: float = PROBE_SECONDS) -> dict[str, Any]:
    """Run one probe in a process of its own.

    Args:
        name: A key of `probes.PROBES`.
        seconds: How long it may take.

    Returns:
        What the probe found; {"error": reason} where it raised, crashed or took too long.
    """
    import signal
    import subprocess

    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    if name == "mujoco":
        environment["MUJOCO_GL"] = "egl"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "policy_port.system.probes", name],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {seconds:.0f} s"}
    if done.returncode < 0:
        return {"error": f"crashed with {signal.Signals(-done.returncode).name}"}
    # Libraries print banners; the answer is the last line.
    answer = done.stdout.strip().rpartition("\n")[2]
    try:
        return json.loads(answer)
    except ValueError:
        return {"error": (done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}")[:300]}
