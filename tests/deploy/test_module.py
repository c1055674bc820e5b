"""The step in torch against the NumPy controller, over contracts of all terms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from policy_port.control.controller import Controller
from policy_port.deploy.module import StepModule
from policy_port.deploy.step import by_name
from tests.deploy.random_contracts import PLANT, Network, draw_contract, measure, motion, mounting

ENVS = 3


@pytest.mark.parametrize("first", range(0, 30, 10))
def test_the_module_is_the_controller(first: int) -> None:
    """Observation, action and target are the NumPy path's to 1e-6, step by step, rows reset on the way."""
    for seed in range(first, first + 10):
        compare(seed)


def compare(seed: int) -> None:
    contract, clip = draw_contract(seed), motion()
    network = Network(contract, ENVS)
    places = lambda place: mounting(place, ENVS)  # noqa: E731
    controller = Controller(contract, network, PLANT, ENVS, mountings=places, motion=clip if contract.motion else None)
    step = by_name(contract, mountings=places, motion=clip if contract.motion else None)
    module = StepModule(step)
    state = module.initial_state(ENVS)
    rng, order = np.random.default_rng(seed), [PLANT.index(name) for name in contract.joint_names]
    signals = controller.signals
    for number in range(15):
        starting = np.full(ENVS, number == 0) | (rng.random(ENVS) < 0.15)
        measure(controller, rng)
        if starting.any():
            controller.reset(starting)
            kept = torch.from_numpy(~starting)[:, None]
            state = {name: values * kept for name, values in state.items()}
        given = {name: torch.from_numpy(per_joint(signals.view(name), name, order)) for name in step.signals}
        target = controller()
        with torch.inference_mode():
            out = module({**given, **state}, lambda x: torch.from_numpy(network.of(x.numpy())))
        state = module.next_state(out)
        told = [f"seed {seed}, step {number}", contract.to_yaml()]
        np.testing.assert_allclose(out["observation"], network.observation, 1e-6, 1e-6, err_msg="\n".join(told))
        np.testing.assert_allclose(out["action"], controller.action, 1e-6, 1e-6, err_msg=told[0])
        np.testing.assert_allclose(out["joint_target"], target[:, order], 1e-6, 1e-6, err_msg="\n".join(told))


def per_joint(values: np.ndarray, name: str, order: list[int]) -> np.ndarray:
    joints = name in ("joint_pos", "joint_vel", "joint_effort")
    return np.ascontiguousarray(values[:, order] if joints else values)
