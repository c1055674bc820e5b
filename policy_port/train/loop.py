"""The one loop around RSL-RL's runners, for all three stages.

A training goes from checkpoint to checkpoint. Each such segment is made of the checkpoint before it and of a seed, and
of nothing else: the weights and the optimiser's state are read back, the environments start anew, the networks forget.
So it makes no difference whether the process that made the checkpoint still lives.
"""

from __future__ import annotations

import contextlib
import io
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_map
from tqdm import tqdm

from policy_port import counts
from policy_port.errors import OutputError, StoppedTrainingError, TrainError, one_line
from policy_port.train.curve import Curve, Row
from policy_port.train.guard import Guard, spent
from policy_port.train.run import Run, State
from policy_port.train.tensors import missing

Prepare = Callable[[int], None]
"""Called with the iterations done, before a segment: what is to learn in it."""
Score = Callable[[Path], Mapping[str, float]]
"""Measures a checkpoint: numbers by name."""


def make_runner(kind: str, environment: Any, settings: dict[str, Any], *, seed: int, device: str, where: str) -> Any:
    """Make one of RSL-RL's runners, with networks that the seed decides.

    Args:
        kind: "OnPolicyRunner" or "DistillationRunner".
        environment: RSL-RL's VecEnv.
        settings: As `Agent.runner_settings` gives them; the runner changes them.
        seed: The run's seed.
        device: Where the networks are.
        where: The settings' file, for the message.

    Raises:
        TrainError: When RSL-RL refuses the settings, or an iteration would keep more than any memory holds.
        MissingDependencyError: When RSL-RL is not installed.
    """
    try:
        import rsl_rl.runners
    except ModuleNotFoundError as cause:
        raise missing(cause) from None
    steps, envs = settings["num_steps_per_env"], environment.num_envs
    if steps * envs > counts.KEPT:
        raise TrainError(
            f"{where}: num_steps_per_env {steps} in {envs} environments are {steps * envs:,} steps, and an iteration "
            f"keeps {counts.KEPT:,} at most; set it to {counts.KEPT // envs}, or say --num-envs {counts.KEPT // steps}"
        )
    _seed(seed)
    try:
        with _quiet():
            return getattr(rsl_rl.runners, kind)(environment, settings, log_dir=None, device=device)
    except (TypeError, ValueError, KeyError, AttributeError) as cause:
        raise TrainError(f"{where}: RSL-RL can't build what it says: {one_line(cause)}") from cause


def snapshot(runner: Any, iteration: int) -> State:
    """What a checkpoint holds after so many iterations, in RSL-RL's own format."""
    state = {**runner.alg.save(), "iter": iteration, "infos": None}
    # Copies, on the CPU: the training goes on changing its own, and who reads the file may have no other device.
    return tree_map(lambda value: value.detach().cpu().clone() if isinstance(value, torch.Tensor) else value, state)


def learn(
    run: Run,
    runner: Any,
    iterations: int,
    *,
    minutes: float | None = None,
    prepare: Prepare | None = None,
    score: Score | None = None,
    bounds: tuple[int, ...] = (),
    guard: Guard | None = None,
) -> int:
    """Go on with a run from its newest checkpoint.

    Args:
        run: The run.
        runner: RSL-RL's runner for it, in an environment that has `begin(seed)`.
        iterations: Iterations of the whole training, those before this call counted.
        minutes: Stop after this time, at a checkpoint; the first segment is always finished.
        prepare: Called before each segment.
        score: Measures each checkpoint that was not measured yet.
        bounds: Iterations at which a segment ends beside every `save_interval`.
        guard: Undoes segments, by what `score` measures at their ends.

    Returns:
        Iterations done.

    Raises:
        TrainError: When a number is none; the newest checkpoint and its curve stay.
        StoppedTrainingError: On Ctrl-C, likewise.
    """
    state, deadline = run.last(), None if minutes is None else time.monotonic() + 60.0 * minutes
    rows, longest, done = run.rows(), 0.0, state["iter"]
    _measure(run, score)
    with one_thread(runner.device), _board(run.path, done) as board, _bar(iterations, done) as bar:
        runner.logger = curve = Curve(rows, runner.env.num_envs, runner.env.device, board, bar)
        while (done := state["iter"]) < iterations and not spent(run, done):
            start = time.monotonic()
            if deadline is not None and longest and start + longest > deadline:
                break
            until = _end(done, iterations, runner.cfg["save_interval"], bounds)
            _begin(runner, state, run.record.seed)
            if prepare is not None:
                prepare(done)
            if guard is not None:
                curve.step = guard.settle(done)
            with _kept(run):
                with _quiet():
                    runner.learn(until - done, init_at_random_ep_len=True)
                reached = snapshot(runner, until)
                if _close(run, reached, rows, score, guard):
                    state = reached
                else:
                    # RSL-RL's optimiser goes on in the tensors that it was given.
                    state = run.last()
                    curve.undo(until - done)
            longest = max(longest, time.monotonic() - start)
    return state["iter"]


def _close(run: Run, reached: State, rows: list[Row], score: Score | None, guard: Guard | None) -> bool:
    """Make a checkpoint of what a segment reached; False where it was undone."""
    if guard is None or score is None:
        run.save(reached, rows)
        _measure(run, score)
        return True
    found = guard.measure(reached, score)
    if found is not None:
        run.save(reached, rows)
        run.write_score(reached["iter"], found)
    return found is not None


def _measure(run: Run, score: Score | None) -> None:
    """Measure the start and the newest checkpoint, where they were not yet."""
    if score is not None:
        checkpoints = run.checkpoints()
        for iteration in dict.fromkeys((min(checkpoints), max(checkpoints))):
            if iteration not in run.scores():
                run.write_score(iteration, score(checkpoints[iteration]))


def _end(done: int, iterations: int, interval: int, bounds: tuple[int, ...]) -> int:
    """Where the segment that begins at `done` ends."""
    return min(bound for bound in (done + interval - done % interval, iterations, *bounds) if bound > done)


def _begin(runner: Any, state: State, seed: int) -> None:
    """Put everything into the state that the checkpoint and the seed say."""
    algorithm = runner.alg
    # A teacher does not learn; RSL-RL would look for one with no weights of torch's in another place.
    parts = {key.removesuffix("_state_dict"): True for key in state if key.endswith("_state_dict")}
    algorithm.load(state, {**parts, "teacher": False}, True)
    runner.current_learning_iteration = state["iter"]
    distilled = "student_state_dict" in state
    for network in (algorithm.student, algorithm.teacher) if distilled else (algorithm.actor, algorithm.critic):
        network.reset()
    if distilled:
        algorithm.last_hidden_states = (None, None)
    # Where a network remembers nothing, the storage leaves what the last segment remembered in its first step.
    algorithm.storage.saved_hidden_state_a = algorithm.storage.saved_hidden_state_c = None
    algorithm.storage.clear()
    drawn = int(np.random.SeedSequence([seed, state["iter"]]).generate_state(1)[0])
    _seed(drawn)
    # The runner steps in this mode, and what was made in it can only be changed in it.
    with torch.inference_mode():
        runner.env.begin(drawn)
    runner.logger.begin()


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextlib.contextmanager
def _kept(run: Run) -> Iterator[None]:
    """Say what a segment that breaks off leaves."""
    kept = f"{run.path} keeps model_{max(run.checkpoints())}.pt and the curve up to it"
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedTrainingError(f"stopped; {kept}. Go on with --resume") from None
    except TrainError as error:
        raise TrainError(f"{error}; {kept}") from error
    except OutputError as error:
        raise OutputError(f"{error}; {kept}. Make room, and go on with --resume") from error
    except (ValueError, RuntimeError) as error:
        # What RSL-RL's own check says of an observation, a reward or an end that is NaN; and torch, of a deviation.
        diverged = "elements of std" in str(error)
        if "NaN" not in str(error) and not diverged:
            raise
        said = "the actor's deviation is no number: a lower learning_rate may help" if diverged else one_line(error)
        raise TrainError(f"{said}; {kept}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """RSL-RL prints a page an iteration; the bar and the curve say it."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def one_thread(device: str) -> Iterator[None]:
    """On a CPU let the networks compute in one thread: theirs are small, and the simulator has the others.

    Sums also come out alike then, on however many cores a run is resumed.
    """
    threads = torch.get_num_threads()
    if "cuda" not in device:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _bar(total: int, done: int) -> tqdm[Any]:
    return tqdm(total=total, initial=min(done, total), unit="iteration", leave=False, disable=None, file=sys.stderr)


@contextlib.contextmanager
def _board(path: Path, done: int) -> Iterator[Any]:
    """A TensorBoard writer that hides what a killed run wrote beyond its newest checkpoint."""
    from torch.utils.tensorboard import SummaryWriter

    board = SummaryWriter(log_dir=str(path / "tensorboard"), purge_step=done or None)
    try:
        yield board
    finally:
        board.close()
