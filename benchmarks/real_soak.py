"""Disturb runs on the emulated arm until something gives: Ctrl-C at random times, every kind of fault, timing.

python benchmarks/real_soak.py --interrupts 200 --faults 40 --episodes 40
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.disturbed_arm import Outcome, SoakArm
from benchmarks.soak_timing import jitter
from policy_port.cli.play_real import embedded
from policy_port.port.pilot import Pilot

FAULTS = (
    "silent:elbow_flex", "absent:wrist_flex", "late:wrist_flex:0.1", "latency:0.02", "jitter:0.01", "drop:gripper:0.2",
    "corrupt:0.1", "flip:0.1", "truncate:0.1", "duplicate:0.3", "wrong-id:wrist_roll", "garbage", "babble", "echo",
    "lost:0.2", "deaf:shoulder_pan", "overload:elbow_flex", "overheat:gripper", "overcurrent:gripper", "undervoltage",
    "overvoltage:elbow_flex", "brownout", "reboot:wrist_flex", "torque-loss:shoulder_lift", "unplug",
    "sensor:elbow_flex", "frozen:shoulder_lift", "stuck:shoulder_lift", "weak:0.1", "slow:0.2", "slip:elbow_flex:160",
    "push:shoulder_pan:300",
)  # fmt: skip
"""Every kind but those of cameras, which have a run of their own."""


def interrupt(arm: SoakArm, pilot: Pilot, count: int, chance: random.Random) -> int:
    bad, ends = 0, Counter[str]()
    for number in range(count):
        first = chance.uniform(0.1, 5.5)
        twice = number % 10 == 9
        signals = [(first, signal.SIGINT)] + [(first + chance.uniform(0.3, 1.0), signal.SIGINT)] * twice
        outcome = arm.run(pilot, signals=tuple(signals), seed=number)
        ends[outcome.ended] += 1
        good = outcome.good and (outcome.at_rest or twice)
        bad += not good
        if not good:
            print(f"  Ctrl-C after {first:.2f} s: {outcome}", flush=True)
    print(f"Ctrl-C: {count - bad} of {count} ended at rest (or, cut by a second one, without torque); {dict(ends)}")
    return bad


def break_things(arm: SoakArm, pilot: Pilot, count: int, chance: random.Random) -> int:
    bad, rested, kinds = 0, 0, set()
    for number in range(count):
        spec = FAULTS[number % len(FAULTS)]
        fault = f"{spec}@{chance.uniform(0.0, 3.5):.2f}"
        outcome: Outcome = arm.run(pilot, episode_steps=40, fault=fault, seed=number)
        kinds.add(spec.partition(":")[0])
        rested += outcome.at_rest
        bad += not outcome.good
        verdict = "" if outcome.good else f"  NOT GOOD: {outcome}"
        where = "at rest" if outcome.at_rest else "torque off where it was"
        print(f"  {fault:<28} {where:<24} {outcome.ended[:80]}{verdict}", flush=True)
    print(f"faults: {count - bad} of {count} ended safely, {rested} of them at rest; {len(kinds)} kinds")
    return bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interrupts", type=int, default=200, help="runs that Ctrl-C ends")
    parser.add_argument("--faults", type=int, default=len(FAULTS), help="runs that a fault strikes")
    parser.add_argument("--timing", type=float, default=60.0, help="seconds of each timing run; 0 for none")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, start, bad = random.Random(options.seed), time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        pilot = embedded(Path(folder) / "port")
        if options.timing > 0.0:
            print(f"30 Hz: {jitter(pilot, 30.0, options.timing)}", flush=True)
            print(f"15 Hz with a camera of 640x480: {jitter(pilot, 15.0, options.timing, camera=True)}", flush=True)
        with SoakArm() as arm:
            bad += interrupt(arm, pilot, options.interrupts, chance) if options.interrupts else 0
            bad += break_things(arm, pilot, options.faults, chance) if options.faults else 0
    print(f"{'all good' if not bad else f'{bad} NOT GOOD'}, {time.monotonic() - start:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
