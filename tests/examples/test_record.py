"""The examples in examples/ do what docs/traces.md says of them."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from policy_port.compare.compare import compare_runs
from policy_port.compare.run import read_run
from policy_port.contract import Contract
from policy_port.replay.recording import UNITS
from policy_port.trace import Trace
from policy_port.verdict.evidence import read_evidence
from policy_port.verdict.verify import verify_contract
from tests.conftest import ROOT
from tests.samples import contract_data


def bare_loop(path: Path) -> Path:
    runpy.run_path(str(ROOT / "examples" / "record_bare_loop.py"))["main"](str(path))
    return path


def contract(**changes: object) -> Contract:
    """The loop's contract, written from its source by hand."""
    joints = {
        "hip": {"default": 0.1, "stiffness": 20.0, "damping": 1.0},
        "knee": {"default": -0.2, "stiffness": 15.0, "damping": 0.8},
    }
    terms = [{"term": "joint_pos_rel"}, {"term": "joint_vel", "scale": 0.05}, {"term": "last_action"}]
    data = {
        "base": {"floating": False},
        "actuation": {"kind": "explicit"},
        "joints": joints,
        "observation": {"terms": terms},
        "action": {"terms": [{"term": "joint_position", "scale": 0.25, "offset": "default"}]},
    }
    return Contract.model_validate(contract_data(**{**data, **changes}))


def test_the_bare_loop_is_evidence(tmp_path: Path) -> None:
    """Its trace agrees with its contract number by number, and shows a scale that is wrong."""
    evidence = read_evidence(bare_loop(tmp_path / "trace.npz"))
    verdict = verify_contract(contract(), evidence)
    assert verdict.ok, verdict.text()
    terms = [{"term": "joint_pos_rel"}, {"term": "joint_vel"}, {"term": "last_action"}]
    wrong = verify_contract(contract(observation={"terms": terms}), evidence)
    assert [check.label for check in wrong.wrong] == ["joint_vel"]


def test_the_bare_loop_can_be_compared(tmp_path: Path) -> None:
    """With itself: nothing differs."""
    run = read_run(bare_loop(tmp_path / "trace.npz"), "loop")
    found = compare_runs([run, read_run(tmp_path / "trace.npz", "again")])
    assert found.pairs[0].rmse == 0.0
    assert found.measures["loop"].dominant_frequency == pytest.approx(0.06 / (2 * np.pi * 0.02), abs=0.1)


def test_the_recorder_is_one_file_to_copy(tmp_path: Path) -> None:
    """Copied next to the script, which then imports it from there, it needs no policy-port."""
    shutil.copy(ROOT / "policy_port" / "trace.py", tmp_path / "trace.py")
    script = (ROOT / "examples" / "record_bare_loop.py").read_text().replace("policy_port.trace", "trace")
    (tmp_path / "loop.py").write_text(script)
    subprocess.run([sys.executable, "-P", "-c", _ISOLATED, "out.npz"], cwd=tmp_path, check=True)
    assert len(Trace(tmp_path / "out.npz")["time"]) == 300


_ISOLATED = """
import runpy, sys
sys.path.insert(0, ".")
sys.modules["policy_port"] = None
runpy.run_path("loop.py", run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_maniskill_example_runs(tmp_path: Path) -> None:
    """Two episodes of 50 steps; the target is what the action of the same row set."""
    pytest.importorskip("mani_skill", reason="mani_skill is not installed (extra: sim)")
    runpy.run_path(str(ROOT / "examples" / "record_maniskill.py"))["main"](str(tmp_path / "trace.npz"))
    trace = Trace(tmp_path / "trace.npz")
    assert trace["episode"][:, 0].tolist() == [0] * 50 + [1] * 50
    assert trace["time"][:3, 0] == pytest.approx([0.0, 0.05, 0.1])
    arm = [name for name in trace.header["joint_names"] if "finger" not in name]
    columns = [trace.header["joint_names"].index(name) for name in arm]
    # pd_joint_delta_pos adds at most 0.1 rad to where the joint stands when the action arrives.
    moved = trace["target"][:, 0, columns] - trace["joint_pos"][:, 0, columns]
    assert moved == pytest.approx(0.1 * trace["action"][:, 0, : len(arm)], abs=1e-5)
    read_evidence(tmp_path / "trace.npz")


def test_the_documentation_names_every_array() -> None:
    """docs/traces.md has a row for each array that play records, and its snippets parse."""
    text = (ROOT / "docs" / "traces.md").read_text()
    for name in UNITS:
        assert f"`{name}`" in text
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert snippets
    for snippet in snippets:
        compile(snippet, "docs/traces.md", "exec")
    for link in re.findall(r"\]\((\.\./[^)#]+)\)", text):
        assert (ROOT / "docs" / link).exists(), link
