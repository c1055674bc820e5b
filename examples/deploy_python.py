"""A port's whole control step in your own program: NumPy and ONNX Runtime, nothing of policy_port.

`python deploy_python.py PORT` replays the port's stored sample as its self-test and exits with 1 if a target
differs, with 2 if it can't be run.
Copy `DeployedPolicy` into your robot's program: fill the signals by name, ask for the targets, reset at every start.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


class DeployedPolicy:
    """The graph, its states, and checks of what is cheap to check: names, widths, quaternions, ranges, a reset."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        described = self._session.get_modelmeta().custom_metadata_map.get("deploy")
        if described is None:
            raise ValueError(f"{path}: is no deploy.onnx of a port")
        self.about = json.loads(described)
        """joint_names, joints (drive, gains, limits), control_dt [s], signals (name, unit, elements), states."""
        # Only these can't turn on and on, as wheels do.
        self._held_joints = [
            name
            for name, joint in self.about["joints"].items()
            if joint["drive"] == "position" and joint["kind"] == "turn"
        ]
        self._outputs = [node.name for node in self._session.get_outputs()]
        self._states: dict[str, np.ndarray] | None = None

    def reset(self) -> None:
        """Before the first step of every episode: every state to zeros."""
        self._states = {
            state["input"]: np.zeros([1 if size == "batch" else size for size in state["shape"]], state["type"])
            for state in self.about["states"]
        }

    def __call__(self, signals: dict[str, dict[str, float]]) -> dict[str, float]:
        """Joint targets by joint name, of signals as numbers by element name: {"joint_pos": {"FL_hip": 0.1, ...}}."""
        if self._states is None:
            raise RuntimeError("call reset() before the first step")
        fed = {signal["name"]: self._row(signal, signals) for signal in self.about["signals"]}
        outputs = [np.asarray(values) for values in self._session.run(None, {**fed, **self._states})]
        found = dict(zip(self._outputs, outputs, strict=True))
        self._states = {state["input"]: found[state["output"]] for state in self.about["states"]}
        target = found["joint_target"][0]
        if not np.isfinite(target).all():
            raise ValueError(f"a target is no number: {target}; one of the signals is none, or diverged")
        return dict(zip(self.about["joint_names"], target.tolist(), strict=True))

    def _row(self, signal: dict, signals: dict[str, dict[str, float]]) -> np.ndarray:
        """One signal in the graph's order, by name and never by position."""
        name, given = signal["name"], signals.get(signal["name"])
        if not isinstance(given, dict) or set(given) != set(signal["elements"]):
            raise ValueError(f"{name} is {given}, the policy reads a number for each of {signal['elements']}, "
                             f"{signal['unit']}")  # fmt: skip
        row = np.array([[given[element] for element in signal["elements"]]], np.float64)
        if not np.isfinite(row).all():
            raise ValueError(f"{name} has what is no number: {given}")
        if name == "base_quat" and abs(np.linalg.norm(row) - 1.0) > 1e-2:
            raise ValueError(f"{name} has length {np.linalg.norm(row):.3f}; it is {signal['unit']}")
        far = [joint for joint in self._held_joints if name == "joint_pos" and abs(given[joint]) > 4.0 * np.pi]
        if far:
            raise ValueError(f"{far[0]} is at {given[far[0]]:.1f} rad: are these degrees or ticks?")
        return row


def self_test(folder: Path) -> float:
    """The largest difference between targets now and in the port's sample [rad or m]."""
    for name in ("deploy.onnx", "deploy_sample.csv"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: has no {name}; give the folder that policy-port export --deploy wrote")
    policy, differences = DeployedPolicy(folder / "deploy.onnx"), []
    names = ["joint_target", *(signal["name"] for signal in policy.about["signals"])]
    with (folder / "deploy_sample.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if None in row.values():
                raise ValueError(f"{file.name}: is cut short")
            numbers = {name: float(text) for name, text in row.items()}
            if numbers.pop("reset"):
                policy.reset()
            by: dict[str, dict[str, float]] = {}
            for column, number in numbers.items():
                signal = next(name for name in names if column.startswith(f"{name}/"))
                by.setdefault(signal, {})[column.removeprefix(f"{signal}/")] = number
            stored = by.pop("joint_target")
            differences += [abs(target - stored[name]) for name, target in policy(by).items()]
    if not differences:
        raise ValueError(f"{file.name}: holds no step")
    # Of a NaN, max() of Python would say nothing.
    return float(np.max(differences))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python deploy_python.py PORT")
    try:
        difference = self_test(Path(sys.argv[1]))
    except Exception as problem:
        print(problem, file=sys.stderr)
        sys.exit(2)
    print(f"largest difference of a target from the port's sample: {difference:.3g}")
    sys.exit(0 if difference < 1e-5 else 1)
