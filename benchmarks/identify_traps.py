"""Two traps of `policy-port identify` on a hidden arm: a minimum beside the true one, and mistakes in both columns.

python benchmarks/identify_traps.py delay       # delays a physics step short, inertia makes up for it
python benchmarks/identify_traps.py mistakes    # signs, exchanges and rates that commands and readings share

Both of one arm, in MuJoCo.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import identify as arms
import numpy as np

from policy_port.arrays import Array
from policy_port.identify import doubts
from policy_port.identify import identify as whole
from policy_port.identify.fit import Problem
from policy_port.identify.grid import profile
from policy_port.identify.parameters import Space, load_priors, make_space
from policy_port.identify.session import make_predictor
from policy_port.identify.setups import fitted_setup
from policy_port.robot_models.find import find_robot

SEED = 10
MADE = ("shoulder_lift turned", "shoulder_lift and elbow_flex", "elbow_flex turned", "time stamps")
"""Mistakes that are made, of those that are looked for."""
SHIFT = 0.005
"""By how much delays start short [s]: a physics step."""


def problem_of(motions: int, segments: int) -> tuple[Problem, Space, Array]:
    """What is fitted of the arm, what is searched, and its true coordinates."""
    robot, setup = find_robot("so100"), arms.stock()
    predictor, stock = (make_predictor("mujoco", robot, one, None) for one in (fitted_setup(robot, setup), setup))
    dynamics = arms.hidden(SEED)
    recorded = [arms.record("mujoco", dynamics, kind, SEED) for kind in range(motions)]
    recorded = [item.in_robot(predictor.joint_names, None) for item in recorded]
    space = make_space(load_priors("sts3215"), predictor.joint_names, stock.stock)
    effort = whole.Effort(horizon=1.0, segments=segments)
    truth = {name: item.value for name, item in dynamics.estimates()}
    true = np.array([item.coordinate(truth[item.name]) for item in space.parameters])
    return whole._problem(predictor, recorded, effort)[0], space, true


def delay() -> None:
    """Start on the ridge, end in the minimum beside the true one, and see where the grid of delays leads from there."""
    problem, space, true = problem_of(6, 12)
    problem = whole.weighed(problem, space, true)
    known = space.values(true)
    start = {key: array.copy() for key, array in known.items()}
    start["delay"] = np.maximum(known["delay"] - SHIFT, 0.0)
    start["armature"] = known["armature"] + known["damping"] * (known["delay"] - start["delay"])
    z = problem.minimise(space, space.coordinates(start), 6)
    for label in ("minimum", "after the grid"):
        off = 1e3 * (space.values(z)["delay"] - known["delay"])
        print(f"{label}: cost {problem.cost(space, z):.0f}, delays off by {np.round(off, 2)} ms", flush=True)
        z = profile(problem, space, z, "delay", whole.GRIDS["delay"]).best
    print(f"true numbers: cost {problem.cost(space, true):.0f}")


def mistakes() -> None:
    """Fit recordings with each mistake, and name those without which they are predicted better."""
    problem, space, true = problem_of(3, 8)
    known = {one.what: one for one in doubts._mistakes(problem, space)}
    right = next(iter(known.values()))
    made = [replace(right, what="right", joints=(), sign=np.abs(right.sign))]
    made += [one for what, one in known.items() if any(f"with {name}" in what for name in MADE)]
    for mistake in made:
        wrong = replace(problem, segments=mistake.segments(problem.segments))
        z = wrong.minimise(space, mistake.start(problem, space, true)[1], 5)
        wrong = whole.weighed(wrong, space, z)
        z = wrong.minimise(space, z, 3)
        told = [str(one) for one in doubts.doubts(wrong, space, z)]
        print(f"data {mistake.what}: {told or 'no doubt'}", flush=True)


if __name__ == "__main__":
    {"delay": delay, "mistakes": mistakes}[sys.argv[1]]()
