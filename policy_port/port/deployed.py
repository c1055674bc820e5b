"""Running a deploy graph as a user's program would: signals by name in, states carried, zeros at a reset."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.arrays import Array
from policy_port.errors import PortError
from policy_port.onnx_session import open_session
from policy_port.port.format import DEPLOY_KEY, DEPLOY_TARGET

Feed = dict[str, NDArray[Any]]
TOLERANCE = 1e-5
"""Largest difference of a replayed sample, as a fraction of its largest target; see `port.sample`."""


class DeployGraph:
    """A graph with its states."""

    def __init__(self, path: Path, data: bytes, batch: int = 1) -> None:
        """Open a graph.

        Raises:
            PortError: When ONNX Runtime refuses it, or it says nothing of itself.
        """
        self._session = open_session(data, PortError, f"{path}:")
        text = self._session.get_modelmeta().custom_metadata_map.get(DEPLOY_KEY)
        if text is None:
            raise PortError(f"{path}: has no metadata '{DEPLOY_KEY}', as every deploy graph has; export the port again")
        self.about: dict[str, Any] = json.loads(text)
        """What the graph says of itself."""
        self._outputs = [node.name for node in self._session.get_outputs()]
        self._batch = batch
        self.states: Feed = {}
        """What the next step is given, by name."""
        self.reset()

    def reset(self, rows: NDArray[np.bool_] | None = None) -> None:
        """Put zeros into the states of some rows; of all, if None."""
        for state in self.about["states"]:
            shape = [self._batch if size == "batch" else size for size in state["shape"]]
            kept = self.states.setdefault(state["input"], np.zeros(shape, state["type"]))
            axis = state["shape"].index("batch")
            chosen = (slice(None),) * axis + (slice(None) if rows is None else rows,)
            kept[chosen] = 0.0

    def step(self, signals: Mapping[str, Array]) -> Feed:
        """Perform a step on signals by name, shape (batch, width)."""
        found = [np.asarray(values) for values in self._session.run(None, {**signals, **self.states})]
        outputs = dict(zip(self._outputs, found, strict=True))
        self.states = {state["input"]: np.array(outputs[state["output"]]) for state in self.about["states"]}
        return outputs


@dataclass(frozen=True, kw_only=True, eq=False)
class DeploySample:
    """A short rollout of one row: signals in, targets out."""

    columns: tuple[str, ...]
    """"reset", then "SIGNAL/ELEMENT" of each number that goes in, then "joint_target/JOINT" of each that comes out."""
    rows: Array
    """A row per step, shape (steps, columns)."""

    @staticmethod
    def run(graph: DeployGraph, signals: Mapping[str, Array], reset: Sequence[bool]) -> DeploySample:
        """Run a graph on signals of shape (steps, 1, width)."""
        about, rows = graph.about, []
        for number, starts in enumerate(reset):
            if starts:
                graph.reset()
            given = {name: values[number] for name, values in signals.items()}
            target = graph.step(given)[DEPLOY_TARGET]
            rows.append([float(starts), *np.concatenate([*(values[0] for values in given.values()), target[0]])])
        columns = [f"{signal['name']}/{element}" for signal in about["signals"] for element in signal["elements"]]
        targets = [f"{DEPLOY_TARGET}/{name}" for name in about["joint_names"]]
        return DeploySample(columns=("reset", *columns, *targets), rows=np.array(rows))

    def text(self) -> str:
        """The sample as CSV, numbers at full precision."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([[repr(float(number)) for number in row] for row in self.rows])
        return out.getvalue()

    @staticmethod
    def read(path: Path, text: str) -> DeploySample:
        """Read a sample.

        Raises:
            PortError: When it is no table of finite numbers.
        """
        try:
            head, *rows = csv.reader(io.StringIO(text))
            numbers = np.array(rows, np.float64)
            if numbers.shape != (len(rows), len(head)) or not rows or head[0] != "reset":
                raise ValueError("the rows have other widths than the head")
        except ValueError as cause:
            raise PortError(f"{path}: is no sample of a deploy graph: {cause}; export the port again") from None
        return DeploySample(columns=tuple(head), rows=numbers)

    def check(self, graph: DeployGraph, where: Path) -> None:
        """Replay the sample.

        Raises:
            PortError: When a target differs by more than `TOLERANCE`, naming step and joint.
        """
        signals = {}
        first = 1
        for signal in graph.about["signals"]:
            signals[signal["name"]] = self.rows[:, None, first : first + signal["width"]]
            first += signal["width"]
        again = DeploySample.run(graph, signals, [bool(value) for value in self.rows[:, 0]])
        if again.columns != self.columns:
            raise PortError(
                f"{where}: its columns are not the signals and joints of deploy.onnx. Export the port again"
            )
        wanted = self.rows[:, first:]
        error = np.nan_to_num(np.abs(again.rows[:, first:] - wanted), nan=np.inf)
        allowed = TOLERANCE * max(float(np.abs(wanted).max()), 1e-3)
        if (error > allowed).any():
            step, joint = (int(i) for i in np.unravel_index(error.argmax(), error.shape))
            name, found = self.columns[first + joint], again.rows[step, first + joint]
            raise PortError(
                f"{where}: deploy.onnx does not compute here what it computed when it was written: {name} of step "
                f"{step} is {found}, stored is {wanted[step, joint]} (allowed difference {allowed:.2g}). Export it "
                "again on this machine"
            )
