"""Networks written out in NumPy, for traces that they record and verdicts that run them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from policy_port.contract import Contract


class Perceptron:
    """One hidden layer; without memory."""

    def __init__(self, contract: Contract, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.first = rng.normal(size=(contract.observation_size, 8)) / contract.observation_size**0.5
        self.last = rng.normal(size=(8, contract.action_size))

    def act(self, seen: np.ndarray) -> np.ndarray:
        return np.tanh(seen.astype(np.float32) @ self.first) @ self.last

    def __call__(self, seen: np.ndarray, starts: np.ndarray) -> np.ndarray:
        return self.act(seen)


class Recurrent:
    """A hidden state that keeps `kept` of itself at each step, one environment."""

    def __init__(self, contract: Contract, seed: int = 0, kept: float = 0.5) -> None:
        rng = np.random.default_rng(seed)
        self.first = rng.normal(size=(contract.observation_size, 8)) / contract.observation_size**0.5
        self.last = rng.normal(size=(8, contract.action_size))
        self.kept, self.state = kept, np.zeros((1, 8))

    def step(self, seen: np.ndarray, starts: np.ndarray) -> np.ndarray:
        state = np.where(starts[:, None], 0.0, self.state)
        self.state = self.kept * state + (1.0 - self.kept) * np.tanh(seen.astype(np.float32) @ self.first)
        return self.state @ self.last

    def __call__(self, seen: np.ndarray, starts: np.ndarray) -> np.ndarray:
        self.state = np.zeros((seen.shape[1], 8))
        return np.stack([self.step(now, rows) for now, rows in zip(seen, starts, strict=True)])

    def actor(self, lengths: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
        """What acts in episodes of these lengths."""
        starts = iter([step == 0 for length in lengths for step in range(length)])
        return lambda seen: self.step(seen[None], np.array([next(starts)]))[0]
