"""How evenly targets go out with a camera beside them: see camera.md. `python benchmarks/camera_rate.py`.

First the machine's own lateness: how late a thread wakes that does nothing but sleep. Then the control loop at 15 Hz on
the emulated arm, with one camera of 640x480, whose every picture is made into the network's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from soak_timing import jitter

from policy_port.cli.play_real import embedded
from policy_port.robots.emulator.clock import REAL

RATE = 15.0
BOUND = 0.005
"""What the lateness of 99 of 100 targets has to be under [s]."""


def machine(seconds: float) -> np.ndarray:
    """How late a thread wakes at 15 Hz that has nothing to do [s], shape (times,)."""
    late, due = [], REAL.now()
    for _ in range(round(seconds * RATE)):
        due += 1.0 / RATE
        time.sleep(max(0.0, due - REAL.now()))
        late.append(REAL.now() - due)
    return np.array(late)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    own = machine(min(given.seconds, 20.0))
    print(
        f"the machine itself: p99 {1e3 * np.percentile(own, 99):.2f} ms, worst {1e3 * own.max():.2f} ms late",
        flush=True,
    )
    if np.percentile(own, 99) > BOUND:
        print(f"it is not idle: nothing measured here says whether {1e3 * BOUND:g} ms hold")
    with tempfile.TemporaryDirectory() as folder:
        print(jitter(embedded(Path(folder) / "port"), RATE, given.seconds, camera=True))


if __name__ == "__main__":
    main()
