"""Traces: what was recorded comes back, in bounded memory, even after a kill."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from policy_port import trace as trace_module
from policy_port.compare.run import read_run
from policy_port.errors import EvidenceError
from policy_port.trace import Recorder, Trace, TraceError
from policy_port.verdict.evidence import read_evidence


def test_what_was_recorded_comes_back(tmp_path: Path) -> None:
    """Arrays by name with the step first, in the type they were given, over several chunks; and the header."""
    rng = np.random.default_rng(0)
    steps = [
        {"time": 0.02 * i, "joint_pos": rng.normal(size=(3, 4)), "action": rng.normal(size=(3, 2)).astype(np.float32)}
        for i in range(25)
    ]
    with Recorder(tmp_path / "trace.npz", {"joint_names": ["a", "b"], "rate": 1 / 0.02}, chunk_steps=10) as recorder:
        for step in steps:
            recorder.record(**step)
    trace = Trace(tmp_path / "trace.npz")
    assert trace.complete
    assert list(trace) == ["time", "joint_pos", "action"]
    assert trace.header["joint_names"] == ["a", "b"]
    assert trace.header["steps"] == 25
    for name in trace:
        expected = np.stack([np.asarray(step[name]) for step in steps])
        assert trace[name].dtype == expected.dtype
        assert np.array_equal(trace[name], expected)
    assert [path.name for path in tmp_path.iterdir()] == ["trace.npz"]


def test_what_is_constant_stands_in_every_step(tmp_path: Path) -> None:
    """A centre of mass given once is in each step, over chunks, by both ways of recording."""
    com = np.array([[0.01, 0.0, -0.07], [0.02, 0.0, -0.07]])
    for way in ("record", "bind"):
        path, action = tmp_path / f"{way}.npz", np.zeros(2)
        with Recorder(path, {}, chunk_steps=2, constant={"base_com": com}) as recorder:
            step = recorder.bind({"action": action}) if way == "bind" else lambda: recorder.record(action=action)  # noqa: B023
            for _ in range(5):
                step()
        assert np.array_equal(Trace(path)["base_com"], np.tile(com, (5, 1, 1)))
    with (
        pytest.raises(TraceError, match="base_com is constant, and given with the step too"),
        Recorder(tmp_path / "twice.npz", {}, constant={"base_com": com}) as recorder,
    ):
        recorder.record(base_com=com)


def test_numpy_alone_reads_it(tmp_path: Path) -> None:
    """The file is an ordinary .npz with a JSON member."""
    with Recorder(tmp_path / "trace.npz", {}, chunk_steps=2) as recorder:
        for step in range(5):
            recorder.record(step=step)
    with np.load(tmp_path / "trace.npz", allow_pickle=False) as loaded:
        assert loaded["step"].tolist() == [0, 1, 2, 3, 4]
    assert b"policy-port trace 1" in zipfile.ZipFile(tmp_path / "trace.npz").read("header.json")


def test_the_steps_are_copied(tmp_path: Path) -> None:
    """The caller may reuse its arrays."""
    value = np.zeros(3)
    with Recorder(tmp_path / "trace.npz", {}) as recorder:
        for step in range(3):
            value[:] = step
            recorder.record(value=value)
    assert Trace(tmp_path / "trace.npz")["value"][:, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize(
    "loop",
    [
        "for step in range(37): recorder.record(step=step)\n",
        "step = np.array(0); record = recorder.bind({'step': step})\n"
        "for now in range(37):\n"
        "    step[...] = now\n"
        "    record()\n",
    ],
    ids=["record", "bind"],
)
def test_a_kill_loses_only_the_last_chunk(tmp_path: Path, loop: str, durable: bool) -> None:
    """A process killed with SIGKILL leaves whole chunks, which read as a trace that says it is not complete."""
    code = (
        "import time; import numpy as np; from policy_port.trace import Recorder\n"
        f"path = {str(tmp_path / 'trace.npz')!r}\n"
        f"recorder = Recorder(path, {{'rate': 50}}, chunk_steps=10, durable={durable})\n"
        f"{loop}"
        "print('recorded', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "recorded\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    trace = Trace(tmp_path / "trace.npz")
    assert not trace.complete
    assert trace["step"].tolist() == list(range(30))
    assert trace.header["rate"] == 50


def test_a_bound_recording_is_the_same_trace(tmp_path: Path) -> None:
    """Arrays filled in place, one of which is several: the trace is the one that `record` writes, over many chunks."""
    rng = np.random.default_rng(0)
    row, action, count = np.zeros((3, 7)), np.zeros((3, 2), np.float32), np.zeros(3, np.int64)
    split = {"row": {"joint_pos": slice(1, 5), "goal": slice(5, 5), "command": slice(5, 7)}}
    with (
        Recorder(tmp_path / "bound.npz", {}, chunk_steps=10) as bound,
        Recorder(tmp_path / "plain.npz", {}, chunk_steps=7) as plain,
    ):
        record = bound.bind({"row": row, "action": action, "count": count}, split)
        for _ in range(25):
            row[:], action[:] = rng.normal(size=(3, 7)), rng.normal(size=(3, 2))
            count += 1
            record()
            plain.record(joint_pos=row[:, 1:5], goal=row[:, 5:5], command=row[:, 5:], action=action, count=count)
    one, other = Trace(tmp_path / "bound.npz"), Trace(tmp_path / "plain.npz")
    assert list(one) == list(other) == ["joint_pos", "goal", "command", "action", "count"]
    assert one.header["steps"] == other.header["steps"] == 25
    for name in other:
        assert one[name].dtype == other[name].dtype
        np.testing.assert_array_equal(one[name], other[name])


def test_a_recorder_is_bound_once_and_first(tmp_path: Path) -> None:
    """Bound a second time, or after a step, or to texts, it says so; and `record` has nothing to add to a bound one."""
    recorder = Recorder(tmp_path / "trace.npz", {})
    with pytest.raises(TraceError, match="who holds no numbers"):
        recorder.bind({"who": np.array(["me"])})
    recorder.bind({"a": np.zeros(3)})
    with pytest.raises(TraceError, match="bind comes before the first step, and only once"):
        recorder.bind({"a": np.zeros(3)})
    with pytest.raises(TraceError, match="step 0: .* b differs"):
        recorder.record(a=np.zeros(3), b=1.0)


@pytest.mark.parametrize("split", [{"b": {"c": slice(0, 1)}}, {"a": {"c": slice(0, 4)}}, {"a": {"b": slice(0, 1)}}])
def test_a_split_that_does_not_fit_is_refused(tmp_path: Path, split: dict[str, dict[str, slice]]) -> None:
    """An array that is not recorded, a part beyond the array, and a part with the name of another array."""
    recorder = Recorder(tmp_path / "trace.npz", {})
    arrays = {"a": np.zeros(3)} | ({"b": np.zeros(1)} if "a" in split and "b" in split["a"] else {})
    with pytest.raises(TraceError, match="split"):
        recorder.bind(arrays, split)


@pytest.mark.parametrize(("durable", "waits"), [(True, 4), (False, 0)])
def test_the_disk_is_waited_for_where_it_matters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool, waits: int
) -> None:
    """Once for each chunk and once for the whole, before it takes its place; not at all for what can be repeated."""
    path, seen = tmp_path / "trace.npz", []
    monkeypatch.setattr(trace_module.os, "fsync", lambda _: seen.append(path.exists()))
    with Recorder(path, {}, chunk_steps=10, durable=durable) as recorder:
        for step in range(25):
            recorder.record(step=step)
    assert seen == [False] * waits
    assert Trace(path)["step"].tolist() == list(range(25))


def test_an_exception_keeps_what_was_recorded(tmp_path: Path) -> None:
    """The steps before the error are on disk, those in memory included."""
    with pytest.raises(RuntimeError), Recorder(tmp_path / "trace.npz", {}) as recorder:
        recorder.record(step=1)
        raise RuntimeError
    trace = Trace(tmp_path / "trace.npz")
    assert trace["step"].tolist() == [1]
    assert not trace.complete


def test_memory_is_bounded_by_the_chunk(tmp_path: Path) -> None:
    """Recording and merging 64 MB takes a few chunks of 1 MB."""
    value = np.zeros(64 * 1024 // 8)
    tracemalloc.start()
    with Recorder(tmp_path / "trace.npz", {}, chunk_bytes=2**20) as recorder:
        for _ in range(1024):
            recorder.record(value=value)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "trace.npz").stat().st_size > 64 * 2**20
    assert peak < 6 * 2**20


def test_reading_is_lazy(tmp_path: Path) -> None:
    """Asking for one array reads that array only."""
    with Recorder(tmp_path / "trace.npz", {}) as recorder:
        for step in range(100):
            recorder.record(step=step, image=np.zeros((100, 100)))
    trace = Trace(tmp_path / "trace.npz")
    tracemalloc.start()
    assert trace["step"].shape == (100,)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6


def test_steps_must_be_alike(tmp_path: Path) -> None:
    """A name that appears or disappears, another shape, or a text, is an error that names it."""
    recorder = Recorder(tmp_path / "trace.npz", {})
    with pytest.raises(TraceError, match="who holds no numbers"):
        recorder.record(who="me")
    recorder.record(a=np.zeros(3), b=1.0)
    with pytest.raises(TraceError, match="step 1: .* b differs"):
        recorder.record(a=np.zeros(3))
    with pytest.raises(TraceError, match=r"'a' has shape \(4,\), before \(3,\)"):
        recorder.record(a=np.zeros(4), b=1.0)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (0, 0.02, "'x' is float64, in the first step int64.*0.0, not 0"),
        (False, 2, "'x' is int64, in the first step bool"),
        (np.zeros(3), 1.0, r"'x' has shape \(\), before \(3,\)"),
        (np.zeros(3), np.zeros(1), r"'x' has shape \(1,\), before \(3,\)"),
    ],
)
def test_a_number_is_never_cut_or_spread(tmp_path: Path, first: object, second: object, message: str) -> None:
    """A time that began as the whole number 0 would read 0, 0, 0; it is refused at the second step."""
    recorder = Recorder(tmp_path / "trace.npz", {})
    recorder.record(x=first)
    with pytest.raises(TraceError, match=message):
        recorder.record(x=second)
    assert recorder.steps == 1


def test_a_narrower_number_fits_a_wider_one(tmp_path: Path) -> None:
    """float32 and whole numbers go into a float64 column as they are."""
    with Recorder(tmp_path / "trace.npz", {}) as recorder:
        for value in (0.5, np.float32(1.5), 2):
            recorder.record(x=value)
    assert Trace(tmp_path / "trace.npz")["x"].tolist() == [0.5, 1.5, 2.0]


def test_an_older_trace_does_not_hide_a_killed_recording(tmp_path: Path) -> None:
    """What was recorded last is what is read, although the older file still stands; until then nothing is lost."""
    path = tmp_path / "trace.npz"
    with Recorder(path, {"run": 1}) as recorder:
        recorder.record(step=1)
    killed = Recorder(path, {"run": 2}, chunk_steps=1)
    assert Trace(path).header["run"] == 1, "the later one has not written anything yet"
    killed.record(step=2)
    trace = Trace(path)
    assert (trace.header["run"], trace["step"].tolist(), trace.complete) == (2, [2], False)
    killed.close()
    assert (Trace(path).header["run"], Trace(path).complete) == (2, True)


def test_a_kill_after_merging_leaves_the_whole_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that were merged and not yet tidied up do not make the file less than whole."""
    monkeypatch.setattr(trace_module.shutil, "rmtree", lambda *_, **__: None)
    with Recorder(tmp_path / "trace.npz", {}, chunk_steps=1) as recorder:
        recorder.record(step=1)
    assert (tmp_path / "trace.npz.parts").is_dir()
    assert Trace(tmp_path / "trace.npz").complete


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    """Absent, truncated, or another .npz; and an unknown name says which there are."""
    with pytest.raises(TraceError, match="no such trace"):
        Trace(tmp_path / "absent.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(TraceError, match="header.json"):
        Trace(tmp_path / "other.npz")
    with Recorder(tmp_path / "trace.npz", {}) as recorder:
        recorder.record(a=1.0)
    with pytest.raises(KeyError, match="no 'b'; it has a"):
        Trace(tmp_path / "trace.npz")["b"]
    data = (tmp_path / "trace.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(TraceError, match="damaged"):
        Trace(tmp_path / "cut.npz")


def test_a_recording_without_steps_is_a_trace(tmp_path: Path) -> None:
    """Nothing recorded is not an error."""
    Recorder(tmp_path / "trace.npz", {"rate": 50}).close()
    assert Trace(tmp_path / "trace.npz").header["steps"] == 0


def test_recording_is_cheap(tmp_path: Path) -> None:
    """A step with ten arrays takes well under 100 microseconds."""
    arrays = {f"a{i}": np.zeros((1, 12)) for i in range(10)}
    recorder = Recorder(tmp_path / "trace.npz", {}, chunk_steps=10_000)
    recorder.record(**arrays)
    best = min(_seconds(recorder, arrays) for _ in range(5))
    assert best < 100e-6


def _seconds(recorder: Recorder, arrays: dict[str, np.ndarray]) -> float:
    start = time.process_time()
    for _ in range(200):
        recorder.record(**arrays)
    return (time.process_time() - start) / 200


def test_the_file_stands_alone() -> None:
    """It imports NumPy and Python's own library, and nothing of this package."""
    tree = ast.parse(Path(trace_module.__file__).read_text(encoding="utf-8"))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    tops = {name.partition(".")[0] for name in modules}
    assert tops <= set(sys.stdlib_module_names) | {"numpy"}


GOOD = {"format": trace_module.FORMAT, "joint_names": ["a"], "control_dt": 0.02}
NUMBERS = {"time": 0.02 * np.arange(30), "joint_pos": np.zeros((30, 1)), "observation": np.zeros((30, 1))}


def archive(path: Path, header: object = GOOD, more: dict[str, bytes] | None = None, **arrays: object) -> Path:
    """A file in a trace's layout, from any header and any arrays or bytes."""
    given = NUMBERS | {"action": np.zeros((30, 1))} | arrays
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(trace_module.HEADER, header if isinstance(header, str) else json.dumps(header))
        for name, array in given.items():
            if f"{name}.npy" not in (more or {}):
                buffer = io.BytesIO()
                np.save(buffer, np.asarray(array), allow_pickle=True)
                file.writestr(f"{name}.npy", buffer.getvalue())
        for name, data in (more or {}).items():
            file.writestr(name, data)
    return path


def npy(shape: tuple[int, ...], descr: str = "<f8", data: bytes = b"") -> bytes:
    """The bytes of an array that says its shape, and whatever data."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + data


HOSTILE: dict[str, dict[str, object]] = {
    "header is a list": {"header": [1]},
    "header is a number": {"header": 3},
    "header is null": {"header": None},
    "header is no JSON": {"header": "{"},
    "header is deep": {"header": "[" * 100_000 + "]" * 100_000},
    "header of another format": {"header": {"format": 3}},
    "control_dt is text": {"header": GOOD | {"control_dt": "0.02"}},
    "control_dt is NaN": {"header": GOOD | {"control_dt": float("nan")}},
    "control_dt is infinite": {"header": GOOD | {"control_dt": float("inf")}},
    "control_dt is negative": {"header": GOOD | {"control_dt": -0.02}},
    "control_dt is true": {"header": GOOD | {"control_dt": True}},
    "control_dt is a list": {"header": GOOD | {"control_dt": [0.02]}},
    "control_dt is another": {"header": GOOD | {"control_dt": 0.005}},
    "joint_names are numbers": {"header": GOOD | {"joint_names": [1]}},
    "a number, no array": {"joint_pos": 1.0},
    "text": {"joint_pos": np.full((30, 1), "x")},
    "complex numbers": {"joint_pos": np.full((30, 1), 1j)},
    "objects": {"joint_pos": np.full((30, 1), {}, dtype=object)},
    "NaN": {"joint_pos": np.full((30, 1), np.nan)},
    "a huge shape": {"more": {"joint_pos.npy": npy((5 * 10**12, 1))}},
    "a negative shape": {"more": {"joint_pos.npy": npy((-30, 1))}},
    "a shape beyond 64 bits": {"more": {"joint_pos.npy": npy((2**40, 2**40))}},
    "no array": {"more": {"joint_pos.npy": b"nothing"}},
    "an unknown version": {"more": {"joint_pos.npy": b"\x93NUMPY\x09\x00" + bytes(100)}},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_strangers_trace_is_one_message(tmp_path: Path, case: str) -> None:
    """Whatever stands where a trace should: verify and compare end in an error of ours, soon and small."""
    path = archive(tmp_path / "trace.npz", **HOSTILE[case])  # type: ignore[arg-type]
    for read in (read_evidence, lambda file: read_run(file, "run")):
        tracemalloc.start()
        with pytest.raises(EvidenceError, match=r"trace\.npz"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
        tracemalloc.stop()


def test_the_same_file_without_the_fault_is_read(tmp_path: Path) -> None:
    """The files above are refused for what is wrong with them alone."""
    path = archive(tmp_path / "trace.npz")
    assert read_run(path, "run").control_dt == 0.02
    assert read_evidence(path).shape == (30, 1)


def test_packed_zeros_are_no_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An array that is far larger than its file is refused before any of it is unpacked."""
    monkeypatch.setattr(trace_module, "MAX_PACKED", 2**20)
    path = archive(tmp_path / "trace.npz", joint_pos=np.zeros((400_000, 1)))
    with pytest.raises(TraceError, match="are no recording"):
        Trace(path)["joint_pos"]
    noise = np.random.default_rng(0).normal(size=(400_000, 1))
    assert Trace(archive(path, joint_pos=noise))["joint_pos"].shape == (400_000, 1)


def test_a_damaged_archive_is_one_message(tmp_path: Path) -> None:
    """Bytes flipped or cut off anywhere: what is asked for is there and right, or an error of ours."""
    whole = archive(tmp_path / "whole.npz").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 3):
            data[place] ^= int(rng.integers(1, 256))
        (tmp_path / "trace.npz").write_bytes(data[: rng.integers(len(data) // 2, len(data) + 1)])
        with contextlib.suppress(EvidenceError):
            read_evidence(tmp_path / "trace.npz")
