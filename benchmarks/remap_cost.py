"""What a remap costs at run time: ported against unported ONNX, as graph nodes and folded, in one run.

The ratio is the median over interleaved rounds, each of which times the variants one after the other in changing
order, so that a slow spell of the machine falls on all of them.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from policy_port.checkpoints.actor import Actor
from policy_port.checkpoints.networks.layers import FeedForwardActor, Normaliser, RecurrentActor, perceptron
from policy_port.contract import Contract
from policy_port.export.fold import fold
from policy_port.export.onnx_graph import build_onnx
from policy_port.export.ported_actor import PortedActor
from policy_port.export.tracing import trace
from policy_port.port.quick import quicker
from policy_port.remap import AffineMap
from policy_port.remap.build import Remap

OBS, ACTIONS = 45, 12
TARGETS = {"nodes": 1.15, "quick": 1.15, "folded": 1.02}
"""Largest ratio to aim at: the file as it is, the same in memory as `onnx_quick` rewrites it, and folded."""


def perceptron_of(widths: list[int]) -> nn.Sequential:
    return perceptron([(torch.randn(b, a) / a**0.5, torch.randn(b)) for a, b in itertools.pairwise(widths)], nn.ELU)


def networks() -> dict[str, Actor]:
    """The two shapes of the walking policies in the wild."""
    torch.manual_seed(0)
    normaliser = Normaliser(torch.randn(OBS), torch.rand(OBS) + 0.5, None)
    mlp = FeedForwardActor(
        normaliser=normaliser,
        layers=perceptron_of([OBS, 512, 256, 128, ACTIONS]),
        head=nn.Identity(),
        obs_size=OBS,
        action_size=ACTIONS,
    )
    memory = nn.LSTM(OBS, 64).requires_grad_(False)
    lstm = RecurrentActor(
        normaliser=nn.Identity(),
        memory=memory,
        layers=perceptron_of([64, 32, ACTIONS]),
        head=nn.Identity(),
        action_size=ACTIONS,
    )
    return {"mlp 45-512-256-128-12": mlp.eval(), "lstm 45-64-32-12": lstm.eval()}


def remaps() -> dict[str, Remap]:
    """Another joint order, as between simulators; and order, signs and offsets, as between a simulator and an arm."""
    rng = np.random.default_rng(0)

    def affine(size: int, signs: bool) -> AffineMap:
        labels = tuple(map(str, range(size)))
        return AffineMap(
            inputs=labels,
            outputs=labels,
            index=rng.permutation(size),
            scale=rng.choice([-1.0, 1.0], size) if signs else np.ones(size),
            offset=rng.normal(size=size) if signs else np.zeros(size),
        )

    # The graph is made from the maps alone; no contract has a say in its cost.
    contract = Contract.model_construct()  # pyrefly: ignore[missing-argument]  pydantic asks for none here
    return {
        name: Remap(
            source=contract,
            target=contract,
            mapping=None,
            observation=affine(OBS, signs),
            observation_clip=None,
            action=affine(ACTIONS, signs),
            action_clip=None,
        )
        for name, signs in (("order", False), ("order, sign, offset", True))
    }


def bound_call(model: onnx.ModelProto, actor: Actor, batch: int) -> Callable[[], None]:
    """One inference with one thread and bound buffers."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    rng = np.random.default_rng(1)
    values = [rng.normal(size=(batch, actor.obs_size)).astype(np.float32)]
    values += [value.numpy() for value in actor.initial_state(batch)]
    for node, value in zip(session.get_inputs(), values, strict=True):
        binding.bind_ortvalue_input(node.name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
    results = [np.empty((batch, ACTIONS), np.float32), *(value.copy() for value in values[1:])]
    for node, value in zip(session.get_outputs(), results, strict=True):
        binding.bind_ortvalue_output(node.name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
    return lambda: session.run_with_iobinding(binding)


def medians(calls: dict[str, Callable[[], None]], rounds: int, repeats: int) -> dict[str, tuple[float, float]]:
    """Median time of one call [s] and median ratio to "unported", by variant."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for call in calls.values():
        for _ in range(repeats):
            call()
    for number in range(rounds):
        for name in order[number % len(order) :] + order[: number % len(order)]:
            call = calls[name]
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            times[name].append((time.perf_counter() - start) / repeats)
    ratios = {
        name: statistics.median(a / b for a, b in zip(times[name], times["unported"], strict=True)) for name in calls
    }
    return {name: (statistics.median(times[name]), ratios[name]) for name in calls}


def report(rounds: int) -> None:
    """Print the ratios, one line per network, remap and batch size."""
    print(f"{'network':<24}{'remap':<22}{'batch':>6}{'unported us':>13}{'nodes':>8}{'quick':>8}{'folded':>8}")
    for network, actor in networks().items():
        unported = build_onnx(trace(actor), actor)
        for label, remap in remaps().items():
            ported = PortedActor(actor, remap)
            graph = build_onnx(trace(ported), ported)
            models = {"unported": unported, "nodes": graph, "quick": quicker(graph), "folded": fold(graph)}
            for batch, repeats in ((1, 20), (4096, 1)):
                calls = {name: bound_call(model, actor, batch) for name, model in models.items()}
                found = medians(calls, 4 * rounds if batch == 1 else max(15, rounds // 8), repeats)
                cells = "".join(
                    f"{found[name][1]:>7.3f}{' ' if found[name][1] <= target else '!'}"
                    for name, target in TARGETS.items()
                )
                print(f"{network:<24}{label:<22}{batch:>6}{found['unported'][0] * 1e6:>13.1f}{cells}", flush=True)
    print(f"! is over the target: {', '.join(f'{name} {target}' for name, target in TARGETS.items())}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=301)
    report(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
