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
    """The graph, its states, and checks of what is cheap to check: names, widths, quaternions, units, a reset."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        described = self._session.get_modelmeta().custom_metadata_map.get("deploy")
        if described is None:
            raise ValueError(f"{path}: is no deploy.onnx of a port")
        self.about = json.loads(described)
        """joint_names, joints (drive, gains, lower, upper), control_dt [s], signals (name, unit, elements), states."""
        self._outputs = [node.name for node in self._session.get_outputs()]
        self._states: dict[str, np.ndarray] | None = None

    def reset(self) -> None:
        """Before the first step of every episode: every state to zeros."""
        self._states = {
            state["input"]: np.zeros([1 if size == "batch" else size for size in state["shape"]], state["type"])
            for state in self.about["states"]
        }
        self._before: dict[str, dict[str, float]] = {}
        self._steps, self._way, self._told = 0, 0.0, 0.0

    def __call__(self, signals: dict[str, dict[str, float]]) -> dict[str, float]:
        """Joint targets by joint name, of signals as numbers by element name: {"joint_pos": {"FL_hip": 0.1, ...}}."""
        if self._states is None:
            raise RuntimeError("call reset() before the first step")
        fed = {signal["name"]: self._row(signal, signals) for signal in self.about["signals"]}
        self._check_units(*(signals[name] if name in fed else {} for name in ("joint_pos", "joint_vel")))
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
        return row

    def _check_units(self, place: dict[str, float], speed: dict[str, float]) -> None:
        """Refuse degrees, encoder ticks, millimetres and degrees per second, by what is plausible of each joint."""
        dt, before = self.about["control_dt"], self._before
        for name, joint in self.about["joints"].items():
            unit = "m" if joint["kind"] == "slide" else "rad"
            (low, high), fastest = joint["plausible"]["position"], joint["plausible"]["speed"]
            if name in speed and abs(speed[name]) > fastest:
                raise ValueError(f"joint_vel of {name} is {speed[name]:.4g}, more than {fastest:.4g} {unit}/s: "
                                 "is it in degrees or mm per second?")  # fmt: skip
            if name not in place:
                continue
            at, was = place[name], before.get("place", place)[name]
            wrong = "is it in degrees, encoder ticks or mm?"
            if (low is not None and at < low) or (high is not None and at > high):
                known = {key: joint[key] for key in ("lower", "upper", "default") if key in joint}
                raise ValueError(f"joint_pos of {name} is {at:.4g}, far from {known} {unit}: {wrong}")
            if joint["drive"] != "position":
                continue  # a wheel may start a new turn
            if abs(at - was) > fastest * dt:
                raise ValueError(f"joint_pos of {name} went from {was:.4g} to {at:.4g} in one step, faster than "
                                 f"{fastest:.4g} {unit}/s: {wrong} After a pause, reset()")  # fmt: skip
            if name in speed:
                self._way += abs(at - was)
                self._told += 0.5 * abs(speed[name] + before.get("speed", speed)[name]) * dt
        self._before, self._steps = {"place": dict(place), "speed": dict(speed)}, self._steps + 1
        # A joint that stands still trembles, and so does its measurement: 0.3 rad/s, and 0.003 rad a step.
        still = self._steps * len(place) * (0.3 * dt + 0.003)
        if self._steps >= 25 and abs(self._told - self._way) > 7.0 * min(self._told, self._way) + still:
            raise ValueError(f"since the reset the joints went {self._way:.4g} in all by joint_pos and "
                             f"{self._told:.4g} by joint_vel: one of them is not in SI units")  # fmt: skip


def self_test(folder: Path) -> float:
    """The largest difference between targets now and in the port's sample [rad or m]."""
    for name in ("deploy.onnx", "deploy_sample.csv"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: has no {name}; give the folder that policy-port export --deploy wrote")
    policy, differences = DeployedPolicy(folder / "deploy.onnx"), []
    # A name may hold a slash, so that no cut at one would do.
    columns = {f"{signal['name']}/{element}": (signal["name"], element)
               for signal in policy.about["signals"] for element in signal["elements"]}  # fmt: skip
    columns |= {f"joint_target/{name}": ("joint_target", name) for name in policy.about["joint_names"]}
    with (folder / "deploy_sample.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if None in row.values():
                raise ValueError(f"{file.name}: is cut short")
            numbers = {name: float(text) for name, text in row.items()}
            if numbers.pop("reset"):
                policy.reset()
            by: dict[str, dict[str, float]] = {}
            if numbers.keys() != columns.keys():
                raise ValueError(f"{file.name}: is another graph's")
            for column, number in numbers.items():
                by.setdefault(columns[column][0], {})[columns[column][1]] = number
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
