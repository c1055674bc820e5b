"""Learned actuators: a small network of each joint beside its drive, for what the physical model leaves.

A network is given what a joint's drive aims at less where it is, and its velocity, now and one and two rows ago, and
says a torque. It is trained on errors of many steps: to first order a torque moves a prediction by the response of the
joint's own mass on its spring, so that errors of a prediction are a sum over past torques. Predictions with the network
in each physics step then judge it, and start the next round.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import optimize

from policy_port.arrays import Array
from policy_port.dynamics.actuator import Actuator
from policy_port.errors import EvidenceError
from policy_port.identify.errors_left import rmse
from policy_port.identify.mujoco_predictor import MujocoPredictor
from policy_port.identify.parameters import Values
from policy_port.identify.recording import Recording
from policy_port.identify.segments import Segments, cut, slopes

UNITS, LAGS = 6, (0, 1, 2)
"""Units of the hidden layer, and how many rows ago inputs are."""
ROUNDS = 6
"""Times that predictions with the network in them start a training."""
FITTED, JUDGED = 120, 120
"""Segments that are trained on and judged by."""
SHORT = 0.2
"""Longest segments that are trained on [s]: over longer ones a torque does more than to first order."""
LEAST_RECORDINGS, SIGNIFICANT = 5, 0.05
"""Held-out recordings from which on a rank test of pairs can tell, and its level."""
PENALTY = 0.3
"""Residuals of weights next to those of errors, which are in standard deviations."""


@dataclass(frozen=True, kw_only=True)
class Small:
    """One joint's network."""

    scale: Array
    """What inputs are divided by, shape (inputs,)."""
    weights: Array
    """All weights in one row: hidden (units, inputs + 1), output (units + 1)."""
    effort: float
    """Torque of an output of 1 [N m]."""

    @property
    def layers(self) -> tuple[Array, Array, Array, float]:
        """Weights and bias of the hidden layer, then of the output."""
        split = UNITS * (len(self.scale) + 1)
        hidden, out = self.weights[:split].reshape(UNITS, -1), self.weights[split:]
        return hidden[:, :-1], hidden[:, -1], out[:-1], float(out[-1])

    def torque(self, inputs: Array) -> Array:
        """Torques [N m], shape (rows,), of inputs (rows, inputs)."""
        first, bias, second, offset = self.layers
        return self.effort * (np.tanh(inputs / self.scale @ first.T + bias) @ second + offset)

    def slope(self, inputs: Array) -> Array:
        """Derivatives of the torques by the weights, shape (rows, weights)."""
        first, bias, second, _ = self.layers
        given = np.concatenate([inputs / self.scale, np.ones((len(inputs), 1))], axis=1)
        active = np.tanh(given @ np.concatenate([first, bias[:, None]], axis=1).T)
        inner = (1.0 - active**2) * second
        hidden = (inner[:, :, None] * given[:, None]).reshape(len(inputs), -1)
        return self.effort * np.concatenate([hidden, active, np.ones((len(inputs), 1))], axis=1)

    def onnx(self) -> bytes:
        """The network as ONNX: inputs (rows, inputs) to outputs (rows, 1), in units of `effort`."""
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        first, bias, second, offset = self.layers
        arrays = {"first": (first / self.scale).T, "bias": bias, "second": second[:, None], "offset": [offset]}
        nodes = [
            helper.make_node("Gemm", ["inputs", "first", "bias"], ["hidden"]),
            helper.make_node("Tanh", ["hidden"], ["active"]),
            helper.make_node("Gemm", ["active", "second", "offset"], ["output"]),
        ]
        graph = helper.make_graph(
            nodes,
            "actuator",
            [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, ["rows", len(self.scale)])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["rows", 1])],
            [numpy_helper.from_array(np.asarray(item, np.float32), name) for name, item in arrays.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What was trained, and whether it is worth keeping."""

    networks: tuple[Small, ...]
    """One per joint."""
    values: Values
    """The model that they go with."""
    spacing: float
    """Between lags [s]."""
    errors: Array
    """Held-out errors by recording [rad]: physical model, with the network; shape (2, recordings)."""
    chance: float
    """At which errors of equal models would fall so far."""

    @property
    def kept(self) -> bool:
        """Whether held-out errors fall significantly."""
        return self.chance < SIGNIFICANT

    def __str__(self) -> str:
        before, after = np.median(self.errors, axis=1)
        count = int((self.errors[1] < self.errors[0]).sum())
        return (
            f"a network beside each drive {'is kept' if self.kept else 'brings nothing significant and is left out'}: "
            f"held-out errors go from {before:.4f} to {after:.4f} rad (median), lower in {count} of "
            f"{self.errors.shape[1]} recordings (p = {self.chance:.2g})"
        )

    def actuators(self, joints: Sequence[str]) -> tuple[Actuator, ...]:
        """As dynamics.yaml names them, their files at hand."""
        made = []
        for joint, network in zip(joints, self.networks, strict=True):
            data = network.onnx()
            digest = hashlib.sha256(data).hexdigest()
            stated = {
                "file": f"actuator-{joint}-{digest[:8]}.onnx",
                "sha256": digest,
                "joints": (joint,),
                "inputs": [{"name": name, "lags": LAGS} for name in ("position_error", "velocity")],
                "spacing": self.spacing,
                "output": "residual_torque",
                "output_scale": network.effort,
                "source": f"recordings: {self}",
            }
            made.append(Actuator.model_validate(stated).with_data(data))
        return tuple(made)


def learn(
    predictor: MujocoPredictor,
    models: tuple[Values, Values],
    recordings: tuple[Sequence[Recording], Sequence[Recording]],
    horizon: float,
    note: Callable[[str], None],
) -> Learned:
    """Train networks beside a model without backlash, and judge them against the physical model.

    Args:
        predictor: MuJoCo.
        models: The model without backlash, as what a network drives has the play in it, and the physical model.
        recordings: Fitted, and held out.
        horizon: How far ahead errors are judged [s].
        note: Told what is being done.
    """
    (values, physical), (fitted, held) = models, recordings
    segments, judged = cut(fitted, min(horizon, SHORT)).some(FITTED), cut(held, horizon).some(JUDGED)
    networks, spacing = _train(predictor, values, segments, note)
    note("judging the network on held-out recordings")
    paths = predictor.predict([physical], judged)[0], predict_with(predictor, values, judged, networks, spacing)
    errors = np.array([np.sqrt((rmse(path - judged.measured, judged)[1] ** 2).mean(axis=1)) for path in paths])
    chance = 1.0
    if not np.allclose(errors[0], errors[1], atol=1e-9):
        from scipy import stats

        # Left to itself, the type checker works for seconds on what this answers.
        wilcoxon: Any = stats.wilcoxon
        chance = float(wilcoxon(errors[0], errors[1], alternative="greater").pvalue)
    return Learned(networks=networks, values=values, spacing=spacing, errors=errors, chance=chance)


def check_held_out(recordings: Sequence[Recording]) -> None:
    """Refuse to train what could not be judged.

    Raises:
        EvidenceError: When too few recordings are held out.
    """
    if len(recordings) < LEAST_RECORDINGS:
        raise EvidenceError(
            f"--actuator network: {len(recordings)} recordings are held out, and a network is kept only where errors "
            f"of {LEAST_RECORDINGS} or more fall; name more with --held-out"
        )


def _train(
    predictor: MujocoPredictor, values: Values, segments: Segments, note: Callable[[str], None]
) -> tuple[tuple[Small, ...], float]:
    every = max(1, round(segments.recordings[0].period / predictor.timestep))
    spacing = every * predictor.timestep
    inputs = _inputs(segments, values)
    error = predictor.predict([values], segments)[0] - segments.measured
    joints, samples = error.shape[2], error.shape[1]
    inertia = predictor.inertia + values["armature"]
    random = np.random.default_rng(0)
    networks = []
    for joint in range(joints):
        scale = np.maximum(inputs[..., joint, :].std(axis=(0, 1)), 1e-6)
        weights = 0.5 * random.standard_normal(UNITS * (len(scale) + 1) + UNITS + 1)
        weights[-UNITS - 1 :] = 0.0
        effort = float(values["stiffness"][joint]) * max(float(error[..., joint].std()), 1e-5)
        networks.append(Small(scale=scale, weights=weights, effort=effort))
    responses = [
        _response([float(array[joint]) for array in (inertia, values["damping"], values["stiffness"])],
                  predictor.timestep, every, samples)
        for joint in range(joints)
    ]  # fmt: skip
    share = np.ones(joints)
    for turn in range(ROUNDS):
        note(f"training a network beside each drive ({turn + 1} of {ROUNDS})")
        # To first order; where that leads too far, a smaller share of a joint's errors is aimed at.
        tried = [
            _fit(networks[joint], inputs[..., joint, :], share[joint] * error[..., joint], responses[joint])
            for joint in range(joints)
        ]
        left = predict_with(predictor, values, segments, tried, spacing) - segments.measured
        better = (left**2).mean(axis=(0, 1)) < (error**2).mean(axis=(0, 1))
        networks = [new if good else old for new, old, good in zip(tried, networks, better, strict=True)]
        share = np.where(better, np.minimum(1.0, 2.0 * share), 0.4 * share)
        error = (
            left if better.all() else predict_with(predictor, values, segments, networks, spacing) - segments.measured
        )
    return tuple(networks), spacing


def _fit(network: Small, inputs: Array, error: Array, response: Array) -> Small:
    """The network whose change of torques takes most of the errors (segments, samples) away."""
    flat, shape = inputs.reshape(-1, inputs.shape[-1]), error.shape
    now, level = network.torque(flat).reshape(shape), max(float(error.std()), 1e-5)

    def residual(weights: Array) -> Array:
        change = replace(network, weights=weights).torque(flat).reshape(shape) - now
        return np.concatenate([((error + change @ response.T) / level).ravel(), PENALTY * weights])

    def slope(weights: Array) -> Array:
        by = replace(network, weights=weights).slope(flat).reshape(*shape, -1)
        moved = np.einsum("tk,skw->stw", response, by).reshape(-1, len(weights)) / level
        return np.concatenate([moved, PENALTY * np.eye(len(weights))])

    solve: Any = optimize.least_squares
    found = solve(residual, network.weights, jac=slope, method="lm", max_nfev=40)
    return replace(network, weights=found.x)


def _response(of_joint: Sequence[float], step: float, every: int, samples: int) -> Array:
    """By how much a torque of 1 N m in each row moves a joint at each later sample, shape (samples, samples)."""
    inertia, damping, stiffness = of_joint
    place, speed, path = 0.0, 0.0, []
    for index in range(every * samples):
        torque = (1.0 if index < every else 0.0) - stiffness * place
        speed = (speed + step * torque / inertia) / (1.0 + step * damping / inertia)
        place += step * speed
        path.append(place)
    after = np.array(path)[every - 1 :: every]
    rows = np.arange(samples)
    return np.where(rows[:, None] >= rows, after[np.abs(rows[:, None] - rows)], 0.0)


def _inputs(segments: Segments, values: Values) -> Array:
    """What networks are given along what was measured, shape (segments, samples, joints, inputs)."""
    samples, found = segments.measured.shape[1], []
    for index, item in enumerate(segments.recordings):
        at = item.time[:, None] - values["delay"]
        held = np.searchsorted(item.sent, at, side="right").clip(1) - 1
        target = np.take_along_axis(item.command, held, axis=0)
        position = (item.measured - values["offset"]) / values["gain"]
        speed = slopes(position) / item.period
        first = np.searchsorted(item.time, segments.start[segments.of == index] - 1e-9)
        rows = first[:, None] + np.arange(samples)
        columns: Any = [signal[np.maximum(rows - lag, 0)] for signal in (target - position, speed) for lag in LAGS]
        found.append(np.stack(columns, axis=-1))
    return np.concatenate(found)


def predict_with(
    predictor: MujocoPredictor, values: Values, segments: Segments, networks: Sequence[Small], spacing: float
) -> Array:
    """Predictions with networks in each physics step, as a plant runs them, shape (segments, samples, joints)."""
    every = round(spacing / predictor.timestep)
    past: Any = np.zeros((2, every * max(LAGS) + 1, *segments.position.shape))
    limit, torque = values["effort_limit"], np.zeros(segments.position.shape)

    def push(step: int, error: Array, speed: Array) -> Array:
        depth = past.shape[1]
        past[:, step % depth] = error, speed
        given: Any = np.stack([signal[(step - lag * every) % depth] for signal in past for lag in LAGS], axis=-1)
        for joint, one in enumerate(networks):
            torque[:, joint] = one.torque(given[:, joint])
        return np.clip(torque, -limit, limit)

    return predictor.pushed(values, segments, push)
