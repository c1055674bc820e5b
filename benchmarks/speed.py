"""What porting costs at run time, as ratios within one run; targets are printed beside, none is enforced.

Everything that is compared is timed in turns, so that a slow spell of the machine falls on all of it; what is printed
are medians over the turns. Nothing is written.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import remap_cost

from policy_port.checkpoints.load import load_policy
from policy_port.checkpoints.networks.layers import FeedForwardActor, Normaliser
from policy_port.contract import Contract, load_contract
from policy_port.control.controller import Controller
from policy_port.control.loop import SimulatedTime, run
from policy_port.control.plant import Plant
from policy_port.export.fold import fold
from policy_port.export.onnx_graph import build_onnx
from policy_port.export.tracing import trace
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.port.runtime import OnnxPolicy
from policy_port.replay.goals import HeldGoals
from policy_port.replay.held import Held, HeldEpisodes
from policy_port.replay.recording import TraceObserver, trace_header
from policy_port.replay.velocity import FallRule
from policy_port.resources import assets_dir
from policy_port.trace import Recorder

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("POLICY_PORT_SHARED", ROOT.parent / "shared")) / "real_policies"

LEGS = tuple(f"{leg}_{part}" for leg in ("FL", "FR", "RL", "RR") for part in ("hip", "thigh", "calf"))
REPLAY_TARGETS = {1: 0.90, 16: 0.95}
RECORD_TARGET, TRAIN_TARGET, START_TARGET = 3.0, 0.85, 0.25


def turns(calls: Mapping[str, Callable[[], object]], rounds: int, repeats: int) -> dict[str, list[float]]:
    """Seconds per call of each variant, round by round, the order changing."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for number in range(rounds + 1):
        shift = number % len(order)
        for name in order[shift:] + order[:shift]:
            start = time.perf_counter()
            for _ in range(repeats):
                calls[name]()
            if number:
                times[name].append((time.perf_counter() - start) / repeats)
    return times


def ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def walker(widths: list[int], folder: Path) -> tuple[Contract, Path]:
    """A random network of the usual shape for a walking robot of 12 joints, and its contract."""
    import torch
    from torch import nn

    terms = ["base_ang_vel", "projected_gravity", "velocity_command", "joint_pos_rel", "joint_vel", "last_action"]
    if widths[0] == 48:
        terms.insert(0, "base_lin_vel")
    contract = Contract.model_validate(
        {
            "contract_version": 1,
            "name": "walker",
            "robot": "none",
            "trained_in": "nowhere",
            "quaternion_order": "wxyz",
            "timestep": 0.005,
            "decimation": 4,
            "base": {"floating": True},
            "actuation": {"kind": "implicit"},
            "joints": {name: {"default": 0.1, "stiffness": 20.0, "damping": 0.5} for name in LEGS},
            "observation": {"terms": [{"term": term} for term in terms]},
            "action": {"terms": [{"term": "joint_position", "scale": 0.25, "offset": "default"}]},
        }
    )
    torch.manual_seed(0)
    actor = FeedForwardActor(
        normaliser=Normaliser(torch.zeros(widths[0]), torch.ones(widths[0]), None),
        layers=remap_cost.perceptron_of(widths),
        head=nn.Identity(),
        obs_size=widths[0],
        action_size=widths[-1],
    ).eval()
    path = folder / f"{'-'.join(map(str, widths))}.onnx"
    onnx.save_model(build_onnx(trace(actor), actor), path)
    return contract, path


def embedded(folder: Path) -> tuple[Contract, Path]:
    """The SO100 policy that ships with the project."""
    shipped, path = assets_dir() / "so100_reach", folder / "so100.onnx"
    actor = load_policy(shipped / "model.pt").actor
    onnx.save_model(build_onnx(trace(actor), actor), path)
    return load_contract(shipped / "contract.yaml"), path


def bare_call(path: Path, num_envs: int) -> Callable[[], None]:
    """One inference with one thread and bound buffers, and nothing around it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for node, bind in (
        (session.get_inputs()[0], binding.bind_ortvalue_input),
        (session.get_outputs()[0], binding.bind_ortvalue_output),
    ):
        values = np.zeros((num_envs, node.shape[1]), np.float32)
        bind(node.name, onnxruntime.OrtValue.ortvalue_from_numpy(values))
    return lambda: session.run_with_iobinding(binding)


def policy_of(path: Path, count: int = 1, *, whole: bool = True) -> OnnxPolicy:
    """The policy as a port's pilot opens it, with the folded network of its deploy.onnx or without one."""
    policy = OnnxPolicy(path, count)
    if whole:
        policy.folded = fold(onnx.load(path), observation=False, action=False).SerializeToString()
    return policy


def control_step(rounds: int) -> None:
    """The whole control step against the bare inference call of the same network, one environment."""
    print("\ncontrol step (observation, inference, action) over bare inference; in one call, and in NumPy around it")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = {"so100 reach (embedded)": (*embedded(folder), 1.35)}
        for widths, target in (([45, 512, 256, 128, 12], 1.10), ([48, 128, 128, 128, 12], 1.35)):
            cases["-".join(map(str, widths))] = (*walker(widths, folder), target)
        for label, (contract, path, target) in cases.items():
            steps = {
                way: Controller(contract, policy_of(path, whole=way == "step"), contract.joint_names, 1)
                for way in ("step", "numpy")
            }
            assert not steps["step"].path, "a step that is one call is measured"
            # Few calls a turn: what another process takes of the machine then falls between turns, or on few of them.
            times = turns({**steps, "bare": bare_call(path, 1)}, rounds, 20)
            step, bare = (statistics.median(times[key]) * 1e6 for key in ("step", "bare"))
            found, before = ratio(times["step"], times["bare"]), ratio(times["numpy"], times["bare"])
            print(
                f"  {label:<28}{bare:7.1f} us bare{step:7.1f} us step   ratio {found:.2f}, target {target:.2f}"
                f"{mark(found <= target)}   NumPy {before:.2f}   p99.9 {late(steps['step']):.0f} us"
            )


def late(step: Callable[[], object], count: int = 20_000) -> float:
    """The time that one step of a thousand takes longer than [us]."""
    times = np.zeros(count)
    for number in range(count):
        start = time.perf_counter()
        step()
        times[number] = time.perf_counter() - start
    return float(np.quantile(times, 0.999)) * 1e6


def recording(rounds: int) -> None:
    """What a step of a walking robot costs to be recorded: raw rows at once, columns when a chunk is full."""
    with tempfile.TemporaryDirectory() as name:
        contract, path, robot = embedded_robot(Path(name))
        with contextlib.closing(make_plant("mujoco", robot, PlantSetup.from_contract(contract), num_envs=1)) as plant:
            controller = Controller(contract, policy_of(path), plant.joint_names, 1)
            header = trace_header(contract, simulator=plant.name, timestep=plant.timestep, decimation=4)
            with Recorder(Path(name) / "trace.npz", header, durable=False) as recorder:
                observe = TraceObserver(recorder, contract.control_dt, 1)
                plant.read(controller.state)
                controller.reset()
                target, nobody = controller(), np.zeros(1, np.bool_)
                times = turns({"record": lambda: observe(plant, controller, target, nobody)}, rounds, 100)
    found = statistics.median(times["record"]) * 1e6
    print(f"\nrecording a step: {found:.2f} us, target at most {RECORD_TARGET:.0f}{mark(found <= RECORD_TARGET)}")


def replays(rounds: int) -> None:
    """A recorded replay against the bare simulator that is told the same targets, both from the same start."""
    print("\nreplay, trace written, over the bare simulator with the same targets")
    print("  the second ratio has the bare inference call in the bare loop too: target 0.90, with 16 environments 0.95")
    with tempfile.TemporaryDirectory() as name:
        cases = {"so100": embedded_robot(Path(name))}
        if SHARED.is_dir():
            cases["go2"] = walking_go2(Path(name))
        for label, (contract, path, robot) in cases.items():
            setup = PlantSetup.from_contract(contract)
            for kind in ("mujoco", "maniskill"):
                for num_envs, steps in ((1, 1000), (16, 100)):
                    with contextlib.closing(make_plant(kind, robot, setup, num_envs=num_envs)) as plant:
                        replay_once(plant, contract, path, f"{label} in {kind}", steps, rounds, Path(name))


def walking_go2(folder: Path) -> tuple[Contract, Path, str]:
    """A quadruped that walks, from the files beside the project."""
    name, path = "rl_sar_go2_robot_lab", folder / "go2.onnx"
    actor = load_policy(SHARED / "policies" / f"{name}.pt").actor
    onnx.save_model(build_onnx(trace(actor), actor), path)
    contract = load_contract(ROOT / "tests" / "real_policies" / f"{name}.yaml")
    return contract, path, str(SHARED / "robots" / "go2" / "go2.xml")


def replay_once(
    plant: Plant, contract: Contract, path: Path, label: str, steps: int, rounds: int, folder: Path
) -> None:
    count, decimation = plant.num_envs, contract.decimation
    controller = Controller(contract, policy_of(path, count), plant.joint_names, count)
    standing = FallRule(min_height=-np.inf, max_tilt=np.pi, text="never")
    header = trace_header(contract, simulator=plant.name, timestep=plant.timestep, decimation=decimation)
    targets: list[np.ndarray] = []
    # A point above the table, for an arm that reaches.
    goals = {term.label: (0.25, 0.0, 0.2) for term in contract.observation.terms if term.term == "goal"}
    walk = Held(command=(0.5, 0.0, 0.0) if contract.commanded else None, seconds=steps * contract.control_dt)

    def perform(*observers: Callable[..., None]) -> None:
        task = HeldEpisodes(walk, HeldGoals(contract, goals), steps, count, standing)
        run(plant, controller, task, decimation=decimation, clock=SimulatedTime(), observers=observers)

    traces = (folder / f"{label} {count} {number}.npz" for number in itertools.count())

    def recorded() -> None:
        # As `play` does it: into a new file, nobody waiting for the disk.
        with Recorder(next(traces), header, durable=False) as recorder:
            perform(TraceObserver(recorder, contract.control_dt, count))

    def bare(infer: Callable[[], object] | None = None) -> None:
        plant.reset(controller.default_joint_pos())
        for target in targets:
            if infer is not None:
                infer()
            plant.write(target)
            plant.step(decimation)

    perform(lambda plant, controller, target, started: targets.append(target.copy()))
    infer = bare_call(path, count)
    times = turns({"replay": recorded, "bare": bare, "inferring": lambda: bare(infer)}, rounds, 1)
    alone, both = ratio(times["bare"], times["replay"]), ratio(times["inferring"], times["replay"])
    speed = count * steps / statistics.median(times["replay"])
    print(
        f"  {label:<20}{count:>3} environments {speed:10.0f} control steps/s   ratio {alone:.2f}"
        f"   with inference {both:.2f}{mark(both >= REPLAY_TARGETS[count])}"
    )


def training(rounds: int) -> None:
    """A training's environment steps against the bare simulator told the same targets, 64 environments.

    Bare is another plant of the same robot, of which nothing is read: targets are written, and the physics steps.
    """
    import torch

    from policy_port.tasks.velocity import load_task
    from policy_port.train.environment import make_environment

    if not SHARED.is_dir():
        print("\ntraining: left out, the files beside the project are not here")
        return
    print(f"\ntraining's environment over the bare simulator with the same targets, target at least {TRAIN_TARGET}")
    contract = load_contract(ROOT / "tests" / "real_policies" / "newton_assets_mjw_go2.yaml")
    robot, count, steps = SHARED / "robots" / "go2" / "go2.xml", 64, 50
    task, setup = load_task("go2_velocity"), PlantSetup.from_contract(contract)
    with contextlib.ExitStack() as stack:
        plant, alone = (
            stack.enter_context(contextlib.closing(make_plant("mujoco", robot, setup, num_envs=count))) for _ in "12"
        )
        one = {"actor": contract}
        two = {"student": contract, "teacher": contract}
        generator = torch.Generator().manual_seed(0)
        actions = [0.3 * torch.randn(count, contract.action_size, generator=generator) for _ in range(steps)]
        for label, contracts in (("an actor", one), ("student and teacher", two)):
            environment = make_environment(
                plant=plant,
                robot=robot,
                contracts=contracts,
                acting=next(iter(contracts)),
                task=task,
                num_envs=count,
                seed=0,
            )
            targets: list[np.ndarray] = []

            def learn(environment=environment, targets=targets) -> None:
                environment.begin(0)
                targets.clear()
                for action in actions:
                    environment.step(action)
                    targets.append(environment.signals.joint_target.copy())

            def bare(environment=environment, targets=targets) -> None:
                alone.reset(environment.signals.default_joint_pos())
                for target in targets:
                    alone.write(target)
                    alone.step(contract.decimation)

            times = turns({"learn": learn, "bare": bare}, rounds, 1)
            found, speed = ratio(times["bare"], times["learn"]), count * steps / statistics.median(times["learn"])
            met = mark(found >= TRAIN_TARGET)
            print(f"  {label:<20}{count:>3} environments {speed:10.0f} steps/s   ratio {found:.2f}{met}")


def shared_out(rounds: int) -> None:
    """Sixteen environments in a process for each core against the same in one, told the same targets."""
    processes = len(os.sched_getaffinity(0))
    print(f"\n16 environments in {processes} processes over one process")
    with tempfile.TemporaryDirectory() as name:
        contract, _, robot = embedded_robot(Path(name)) if not SHARED.is_dir() else walking_go2(Path(name))
        setup = PlantSetup.from_contract(contract)
        for kind in ("mujoco", "maniskill"):
            with contextlib.ExitStack() as stack:
                plants = {
                    count: stack.enter_context(
                        contextlib.closing(make_plant(kind, robot, setup, num_envs=16, processes=count))
                    )
                    for count in (1, processes)
                }
                calls = {str(count): functools.partial(stand, plant, contract) for count, plant in plants.items()}
                times = turns(calls, rounds, 1)
                print(f"  {kind:<12}{ratio(times['1'], times[str(processes)]):6.2f} times as fast")


def scaled(rounds: int) -> None:
    """Many environments on all cores; see cpu_scale.py."""
    import cpu_scale

    with tempfile.TemporaryDirectory() as name:
        robot = walking_go2(Path(name)) if SHARED.is_dir() else embedded_robot(Path(name))
        cpu_scale.scale(robot, turns, rounds)


def embedded_robot(folder: Path) -> tuple[Contract, Path, str]:
    return (*embedded(folder), "so100")


def stand(plant: Plant, contract: Contract) -> None:
    """A second of simulated time at the default pose."""
    start = np.zeros((plant.num_envs, len(plant.joint_names)))
    start[:] = [contract.joints[name].default for name in plant.joint_names]
    plant.reset(start)
    for _ in range(round(1.0 / contract.control_dt)):
        plant.write(start)
        plant.step(contract.decimation)


def starts(rounds: int) -> None:
    """Import and --help against an empty Python start."""
    program = "import sys; sys.argv = ['policy-port', '--help']; from policy_port.cli.app import main; main()"
    codes = {"empty": "pass", "import policy_port": "import policy_port", "policy-port --help": program}
    calls = {
        label: (lambda code=code: subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL))
        for label, code in codes.items()
    }
    times = turns(calls, rounds, 1)
    print(
        f"\nseconds more than an empty Python start ({statistics.median(times['empty']):.3f} s), "
        f"target at most {START_TARGET}"
    )
    for label in itertools.islice(codes, 1, None):
        more = statistics.median(a - b for a, b in zip(times[label], times["empty"], strict=True))
        print(f"  {label:<28}{more:6.3f} s{mark(more <= START_TARGET)}")


def mark(met: bool) -> str:
    return "  " if met else " !"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds")
    parts = {
        "remap": (remap_cost.report, 301),
        "step": (control_step, 1001),
        "record": (recording, 101),
        "replay": (replays, 9),
        "train": (training, 15),
        "processes": (shared_out, 15),
        "scale": (scaled, 3),
        "start": (starts, 15),
    }
    parser.add_argument("--only", choices=parts, help="one part")
    options = parser.parse_args()
    for name, (part, rounds) in parts.items():
        if options.only in (None, name):
            part(max(3, rounds // 10) if options.quick else rounds)
    print("! misses its target")


if __name__ == "__main__":
    main()
