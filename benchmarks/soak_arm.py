"""End runs on the emulated arm at random, in every way that there is, and judge by the wire what became of the arm.

    python benchmarks/soak_arm.py --ends 300 --jobs 4 --results soak.jsonl

Each end is a run of `policy-port play --real`, or of a RealEnv, in a terminal of its own, stepped or continuous. Ends
are numbered; what each does follows from its number and --seed, and those that stand in --results are not repeated.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import json
import math
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.wire import Tap, decode, in_trace, joints, judge, torque

ROOT = Path(__file__).resolve().parents[1]
PERIOD = 0.05
"""Control period of the embedded policy and of its task [s]."""
KINDS = ("ctrl-c", "ctrl-c twice", "SIGTERM", "SIGKILL", "SIGSTOP", "hang-up", "unplug", "unplug and SIGKILL")
STARTED, OVER = 90.0, 25.0
"""How long a run may take until torque is on, and until it is off after its end [s]."""
ANSWERED = 12.0
"""A run that ends so long after its end came has not heard of it: the way to rest takes less than 4 s [s]."""
ASLEEP = 3.0
"""A run that is stopped where the arm has no torque is nobody's to end: so long torque has to stay off [s]."""
HELD = "stuck"
"""The fault that is a person's hand."""
TASK = "PolicyPortSO100Reach-v1"


@dataclass(frozen=True)
class Plan:
    """One end."""

    number: int
    kind: str
    stepped: bool
    path: str
    """plant: `play --real`; env: RealEnv."""
    after: float
    """When it comes, after torque came on [s]; before that, where it is negative: after the start."""
    more: float
    """From the first to the second Ctrl-C, or until the cable is in again [s]."""


def planned(number: int, seed: int, paths: tuple[str, ...]) -> Plan:
    """What the end of this number does."""
    chance = random.Random(f"{seed}/{number}")
    kind = KINDS[number % len(KINDS)]
    path = paths[(number // (2 * len(KINDS))) % len(paths)]
    after = chance.uniform(0.0, 5.0) if chance.random() < 0.94 else -chance.uniform(0.5, 4.0)
    more = chance.uniform(0.3, 1.0) if kind == "ctrl-c twice" else chance.uniform(0.5, 6.0)
    return Plan(number, kind, number // len(KINDS) % 2 == 0, path, after, more)


class Terminal:
    """A person at the terminal of a run: answers each question with Enter."""

    def __init__(self, chance: random.Random) -> None:
        self.near, self.far = os.openpty()
        self._chance, self.text = chance, ""
        self._answered = 0

    def attend(self) -> None:
        """Read what there is, and press Enter where that is asked for."""
        while self.near >= 0 and select.select([self.near], (), (), 0.01)[0]:
            try:
                self.text += os.read(self.near, 4096).decode(errors="replace")
            except OSError:
                return
        if self.text.count("Ctrl-C ends]") > self._answered and self.near >= 0:
            self._answered += 1
            time.sleep(self._chance.uniform(0.0, 0.05))
            with contextlib.suppress(OSError):
                os.write(self.near, b"\n")

    def press(self, key: bytes) -> None:
        """Press a key."""
        with contextlib.suppress(OSError):
            os.write(self.near, key)

    def hang_up(self) -> None:
        """Close the window."""
        if self.near >= 0:
            os.close(self.near)
            self.near = -1

    def drop(self) -> None:
        """The run has its own end of it."""
        if self.far >= 0:
            os.close(self.far)
            self.far = -1


def perform(plan: Plan, robot_file: Path, folder: Path, port: Path) -> None:
    """The run itself, in a forked process."""
    out = folder / "run"
    if plan.path == "plant":
        from policy_port.cli.app import main

        mode = [] if plan.stepped else ["--continuous"]
        words = ["play", str(port), "--real", "--robot", str(robot_file), "--episodes", "1", "--out", str(out)]
        sys.argv = ["policy-port", *words, "--seed", str(plan.number), *mode]
        main()
        return
    import numpy as np

    from policy_port.robots import RealEnv

    chance = np.random.default_rng(plan.number)
    with contextlib.closing(RealEnv(TASK, robot_file, continuous=not plan.stepped)) as env:
        action = np.zeros(env.single_action_space.shape or (), np.float32)
        env.rehearse(lambda _: action)
        env.reset(seed=plan.number)
        while True:
            env.step(np.clip(action + chance.normal(0.0, 0.5, action.shape), -1.0, 1.0).astype(np.float32))


def start(plan: Plan, terminal: Terminal, robot_file: Path, folder: Path, port: Path) -> int:
    """Fork a run that waits for its arm; returns its process."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.setsid()
        fcntl.ioctl(terminal.far, termios.TIOCSCTTY, 0)
        for descriptor in range(3):
            os.dup2(terminal.far, descriptor)
        os.closerange(3, 256)
        link = folder / "port"
        while not link.exists():
            time.sleep(0.01)
        # What the forking process had imported may have kept the streams of its start.
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))
        perform(plan, robot_file, folder, port)
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def strike(plan: Plan, process: int, terminal: Terminal, tap: Tap) -> None:
    """Let the end come."""
    if plan.kind.startswith("ctrl-c"):
        terminal.press(b"\x03")
    elif plan.kind == "hang-up":
        terminal.hang_up()
    if "unplug" in plan.kind:
        tap.unplug()
    if "SIG" in plan.kind:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, getattr(signal, plan.kind.split()[-1]))


def end(plan: Plan, seed: int, port: Path) -> dict[str, Any]:
    """One end from start to judgement."""
    from policy_port.robots.emulator import EmulatedArm

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        robot_file = arm_file(folder)
        terminal = Terminal(random.Random(f"{seed}/{plan.number}/keys"))
        process = start(plan, terminal, robot_file, folder, port)
        terminal.drop()
        with EmulatedArm(pose=rest(robot_file), latency=0.001, faults=[HELD]) as arm:
            arm.write_calibration(folder / "soak.json")
            confirmed(robot_file)
            tap = Tap(folder / "port", arm.port)
            try:
                outcome = watched(plan, process, terminal, tap, arm)
            finally:
                tap.close()
                terminal.hang_up()
        limits = joints(robot_file, folder / "soak.json", PERIOD)
        judged = judge(decode(tap.heard), limits, PERIOD)
        missing = (0, "")
        if plan.path == "plant":
            missing = in_trace(folder / "run", judged.goals, limits, killed=outcome["status"] == -signal.SIGKILL)
        said = terminal.text[-600:] if judged.violations or missing[0] or outcome["on"] or not outcome["torque"] else ""
        return dataclasses.asdict(plan) | outcome | {
            "goals": len(judged.goals), "violations": judged.violations[:5], "missing": missing[0], "why": missing[1],
            "said": said,
        }  # fmt: skip


def watched(plan: Plan, process: int, terminal: Terminal, tap: Tap, arm: Any) -> dict[str, Any]:
    """See a run to its end; how long torque stayed on after it came, and on which servos it still is."""
    begin, powered, struck, again = time.monotonic(), 0.0, 0.0, 0.0
    alive, status = True, 0
    while True:
        terminal.attend()
        now = time.monotonic()
        if not powered and any(torque(decode(tap.heard)).values()):
            powered = now
            arm.clear(HELD)
        if alive:
            done, status = os.waitpid(process, os.WNOHANG)
            alive = not done
        due = begin - plan.after if plan.after < 0.0 else powered + plan.after if powered else math.inf
        if not struck and (now >= due or not alive):
            struck = now
            strike(plan, process, terminal, tap)
        if struck and not again and now >= struck + plan.more:
            again = now
            if plan.kind == "ctrl-c twice":
                terminal.press(b"\x03")
            elif "unplug" in plan.kind:
                tap.plug()
        if not powered and plan.after > 0.0 and alive and now > begin + STARTED:
            # A fork of a process with threads may stop dead; nothing can be told of the arm then.
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise RuntimeError(f"torque did not come on within {STARTED:g} s")
        waits = "unplug" in plan.kind and not again
        on = [servo.name for servo in arm.servos if servo.torque] if struck and not waits else []
        told = any(torque(decode(tap.heard)).values())
        asleep = plan.kind == "SIGSTOP" and bool(struck) and now > struck + ASLEEP
        ended = (not alive or asleep) and not on and not told
        if struck and not waits and (ended or now > struck + plan.more + OVER):
            break
        time.sleep(0.02)
    if alive:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    return {
        "torque": bool(powered),
        "on": on + [f"servo {servo}" for servo, state in torque(decode(tap.heard)).items() if state],
        "took": round(now - struck, 2),
        "hung": alive and not asleep,
        "status": os.waitstatus_to_exitcode(status),
        "ignored": bool(struck and now > struck + (plan.more if "unplug" in plan.kind else 0.0) + ANSWERED),
    }


def arm_file(folder: Path) -> Path:
    """A robot file that leads to the tap; the way to the start is quick, so that an end takes seconds."""
    text = (ROOT / "policy_port" / "assets" / "robots" / "so100.yaml").read_text()
    for old, new in (
        ("port: null", f"port: {folder / 'port'}"),
        ("id: so100", "id: soak"),
        ("calibration_dir: null", f"calibration_dir: {folder}"),
        ("approach_speed: 0.5", "approach_speed: 1.2"),
        # Two cores and several arms: a late target is another test's.
        ("deadline: 0.1", "deadline: 1.0"),
        ("stale: 0.1", "stale: 1.0"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    file = folder / "arm.yaml"
    file.write_text(text)
    return file


def rest(robot_file: Path) -> dict[str, float]:
    import yaml

    return {name: joint["rest"] for name, joint in yaml.safe_load(robot_file.read_text())["joints"].items()}


def confirmed(robot_file: Path) -> None:
    """The note that somebody has looked, which a run asks for: the arm stands for its own calibration."""
    from policy_port.robots.arm.confirmation import fingerprint, note_of
    from policy_port.robots.arm.lerobot_arm import LeRobotArm
    from policy_port.robots.arm.robot_file import load_robot_file

    robot = load_robot_file(robot_file)
    arm = LeRobotArm(robot, PERIOD)
    note_of(arm.calibration_file).write_text(fingerprint(robot, arm.calibration))


def work(options: argparse.Namespace) -> int:
    """Perform the ends whose numbers come in, one after the other, and answer with what became of each."""
    import policy_port.cli.app
    import policy_port.cli.play_real
    import policy_port.robots.jobs.run

    if "env" in options.paths:
        import policy_port.robots.maniskill.env  # noqa: F401
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        plan = planned(int(line), options.seed, options.paths)
        try:
            found = end(plan, options.seed, options.port)
        except Exception as cause:
            import traceback

            traceback.print_exc()
            found = dataclasses.asdict(plan) | {"broken": repr(cause)}
        answers.write(json.dumps(found) + "\n")
        answers.flush()
    return 0


def good(found: dict[str, Any]) -> bool:
    faults = ("broken", "on", "violations", "missing", "hung", "ignored")
    # A computer that is too busy refuses to begin: that end says nothing, and has to be tried again.
    began = found.get("torque") or found["after"] < 0.0
    return bool(began) and not any(found.get(fault) for fault in faults)


def table(results: list[dict[str, Any]]) -> str:
    """A row per kind, mode and path."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for found in results:
        groups[found["kind"], "stepped" if found["stepped"] else "continuous", found["path"]].append(found)
    lines = [
        "| end | mode | path | ends | torque came on | torque off | in limits | goals all on record | slowest [s] |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for (kind, mode, path), all_of in sorted(groups.items()):
        rows = [found for found in all_of if not found.get("broken")]
        counts = (
            len(all_of), sum(r["torque"] for r in rows), sum(not r["on"] for r in rows),
            sum(not r["violations"] for r in rows), sum(not r["missing"] for r in rows) if path == "plant" else "-",
            max((r["took"] for r in rows), default=0.0),
        )  # fmt: skip
        lines.append(f"| {kind} | {mode} | {path} | " + " | ".join(map(str, counts)) + " |")
    goals = sum(found.get("goals", 0) for found in results)
    done = sum(map(good, results))
    off = sum(not found.get("on", True) for found in results)
    lines += ["", f"{done} of {len(results)} good; torque off in {off}; {goals} goals on the wire"]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ends", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=4, help="ends at a time; each mostly waits")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path("soak.jsonl"), help="what became of each; goes on with it")
    parser.add_argument("--paths", nargs="+", choices=("plant", "env"), default=["plant", "env"])
    parser.add_argument("--until", type=float, default=1e9, help="begin no end after so many seconds")
    parser.add_argument("--port", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.paths = tuple(options.paths)
    if options.work:
        return work(options)
    results = (
        [json.loads(line) for line in options.results.read_text().splitlines()] if options.results.exists() else []
    )
    results = [found for found in results if good(found) or found.get("torque")]
    known = {found["number"] for found in results}
    left = iter([number for number in range(options.ends) if number not in known])
    turn, begin = threading.Lock(), time.monotonic()
    with tempfile.TemporaryDirectory() as place, open(options.results, "a") as record:
        port = Path(place) / "port"
        code = "import sys, pathlib, policy_port.cli.play_real as p; p.embedded(pathlib.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", code, str(port)], check=True, cwd=ROOT)
        shared = ["--work", "--port", str(port), "--seed", str(options.seed), "--paths", *options.paths]

        def serve() -> None:
            command = [sys.executable, __file__, *shared]
            worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            assert worker.stdin is not None
            assert worker.stdout is not None
            while time.monotonic() - begin < options.until:
                with turn:
                    number = next(left, None)
                if number is None:
                    break
                worker.stdin.write(f"{number}\n")
                worker.stdin.flush()
                found = json.loads(worker.stdout.readline())
                with turn:
                    results.append(found)
                    record.write(json.dumps(found) + "\n")
                    record.flush()
                    print("." if good(found) else f"\nNOT GOOD {json.dumps(found, indent=1)}", end="", flush=True)
            worker.stdin.close()
            worker.wait()

        threads = [threading.Thread(target=serve) for _ in range(options.jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print("\n" + table(results) + f"; {time.monotonic() - begin:.0f} s for those that were done now")
    return 0 if all(map(good, results)) else 1


if __name__ == "__main__":
    sys.exit(main())
