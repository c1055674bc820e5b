"""Claims about the pytest plugin: suites are tests where they were asked for, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.regress.arm import change_yaml
from tests.regress.toy import write_toy

pytestmark = pytest.mark.slow

HERE = f"""import importlib.util
from policy_port.regress import process
spec = importlib.util.spec_from_file_location("shared", {str(Path(__file__).with_name("conftest.py"))!r})
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
process.perform = shared.here
"""
"""A conftest.py by which cases run in the process that judges them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite with a case that runs and one that can't, and a test that uses the fixture."""
    pytest.importorskip("mujoco")
    from policy_port.regress import load_suite
    from policy_port.regress.update import update_suite

    folder = tmp_path_factory.mktemp("plugin")
    suite = write_toy(folder, "runs", expect={"open_loop": {"steps": 10}})
    update_suite(load_suite(suite))
    change_yaml(suite, lambda data: data["cases"].append({**data["cases"][0], "name": "absent", "needs": ["nowhere"]}))
    # The cases run in pytest's own process: that each has one of its own is test_run.py's claim.
    (folder / "conftest.py").write_text(HERE)
    (folder / "test_it.py").write_text("def test_it(policy_port_suite):\n    policy_port_suite('toy.regress.yaml')\n")
    return folder


def run(folder: Path, *args: str) -> str:
    """Output of pytest in a process of its own, with no plugin but this one."""
    command = [sys.executable, "-m", "pytest", "-rs", "-v", "-p", "no:cacheprovider", "-c", "pytest.ini", *args]
    if not (folder / "pytest.ini").exists():
        (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout


def test_a_suite_that_is_named_is_collected(folder: Path) -> None:
    """A test per case; what can't run is skipped with its reason."""
    output = run(folder, "toy.regress.yaml")
    assert "1 passed, 1 skipped" in output, output
    assert "absent: skipped: needs nowhere, which is not here" in " ".join(output.split())


def test_without_being_asked_nothing_is_collected(folder: Path) -> None:
    """A folder that holds suites holds no tests, unless the ini option says so."""
    assert "1 passed" in run(folder)
    assert "3 items" in run(folder, "--collect-only", "-o", "policy_port_suites=true").replace("3 tests", "3 items")


def test_a_regression_is_one_sentence(folder: Path) -> None:
    """Without a traceback, for the file and for the fixture."""
    import numpy as np

    data = folder / "toy.baselines" / "runs.npz"
    before = data.read_bytes()
    with np.load(data) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["out_action"] = arrays["out_action"] + np.float32(0.5)
    np.savez(data, **arrays)
    try:
        output = run(folder, "toy.regress.yaml", "test_it.py")
    finally:
        data.write_bytes(before)
    assert "2 failed, 1 skipped" in output, output
    assert "runs: regression: for the same stored states, action " in output
    assert "Traceback" not in output
