"""A camera's pose from silhouettes, few points and few pixels: the bars are held by benchmarks/camera_solve.py."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import policy_port.camera.solve as solver
from policy_port.camera.refine import Refined, Unknowns, refine
from policy_port.camera.render import Twin
from policy_port.camera.silhouette import Outlines
from policy_port.camera.solve import CHECKED, Problem, Solved, check_poses, solve
from policy_port.errors import CameraError
from tests.camera.conftest import JOINTS, TRUE, off, photographed


@pytest.fixture(scope="module")
def solved(problem: Problem) -> Solved:
    return solve(problem)


def test_a_pose_is_found_with_its_uncertainty(solved: Solved) -> None:
    """The pose is found to some millimetres, the truth is within what is stated, and pictures have overlaps."""
    metres, degrees = off(solved.view)
    assert metres < 0.005
    assert degrees < 0.5
    assert (
        np.abs(np.subtract(solved.view.position, TRUE.position)) < 2.0 * np.array(solved.uncertainty.position_95)
    ).all()
    assert max(solved.uncertainty.position_95) < 0.02
    assert min(solved.overlaps) > 0.8
    assert not solved.zeros


def test_a_zero_that_is_off_is_told_and_solved(problem: Problem, twin: Twin) -> None:
    """A joint's zero that is wrong by 2 degrees is named, and found with --zeros, the others' being right."""
    wrong = replace(problem, shots=photographed(twin, {"bend": math.radians(2.0)}))
    with pytest.raises(CameraError, match=r"zeros are off.*bend by \+[12].*--zeros"):
        solve(wrong)
    solved = solve(replace(wrong, zeros=True))
    assert np.degrees([solved.zeros[name] for name in JOINTS]) == pytest.approx([0.0, 0.0, 2.0, 0.0], abs=0.6)
    assert off(solved.view)[0] < 0.015


def test_a_zero_does_not_run_away(problem: Problem) -> None:
    """From a zero that folds the hand into the arm, where its outline tells nothing, the search comes back."""
    outlines = Outlines(problem.links, problem.shots, area=problem.effort.area)
    astray = {"wrist": math.radians(100.0)}
    found = refine(outlines, TRUE, Unknowns(zeros=JOINTS), zeros=astray, passes=CHECKED)
    assert math.degrees(found.zeros["wrist"]) == pytest.approx(0.0, abs=1.0)


def test_a_wrong_field_of_view_is_told(problem: Problem) -> None:
    """A field of view that was guessed wrongly is named with the right one; solved for, its trade-off is."""
    start = replace(problem.lens, fov=problem.lens.fov + math.radians(6.0))
    with pytest.raises(CameraError, match=r"given as 49\.0 degrees, and the pictures fit 4[234].*--fov free"):
        solve(replace(problem, lens=start))
    solved = solve(replace(problem, lens=start, fov=True))
    assert math.degrees(solved.view.fov - TRUE.fov) == pytest.approx(0.0, abs=1.0)
    assert "trades off against the distance" in solved.notes[0]
    assert solved.uncertainty.fov is not None


def test_a_free_field_of_view_that_tells_too_little(
    problem: Problem, solved: Solved, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pose that a free field of view leaves too wide is refused, where --intrinsics, which tell it, are enough."""
    monkeypatch.setattr(solver, "UNSURE", 1.2 * max(solved.uncertainty.position_95))
    with pytest.raises(CameraError, match=r"the pictures don't tell.*; or give the field of view, with --intrinsics"):
        solve(replace(problem, fov=True))


def test_a_picture_of_another_pose_is_named(problem: Problem) -> None:
    """One picture whose joint positions are another's is named."""
    shots = list(problem.shots)
    shots[2] = replace(shots[2], mask=shots[6].mask)
    with pytest.raises(CameraError, match=r"^2\.png: the arm stands elsewhere.*take the picture out"):
        solve(replace(problem, shots=shots))


def test_mirrored_pictures_are_told(problem: Problem) -> None:
    """Pictures turned over left to right fit nothing, and that is the reason given, found without any start."""
    flipped = [replace(shot, mask=np.ascontiguousarray(shot.mask[:, ::-1])) for shot in problem.shots]
    with pytest.raises(CameraError, match=r"Nothing was written\. The pictures are mirrored"):
        solve(replace(problem, shots=flipped))


def test_pictures_of_other_poses_are_refused_soon(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither zeros nor a field of view are sought where nothing fits, and what would not help is not advised."""
    shots = [replace(shot, mask=problem.shots[index - 3].mask) for index, shot in enumerate(problem.shots)]
    sought, said, whole = [], [], solver.refine

    def refined(*given: Any, **more: Any) -> Refined:
        sought.append(given[2])
        return whole(*given, **more)

    monkeypatch.setattr(solver, "refine", refined)
    # All around the arm there is nothing either.
    monkeypatch.setattr(solver, "_around", lambda problem, shots: [problem.lens])
    with pytest.raises(CameraError, match=r"Nothing was written\. Look at what was taken for the arm"):
        solve(replace(problem, shots=shots, zeros=True, progress=said.append))
    assert sought == [Unknowns()]
    assert said[-1] == "nothing fits; looking for the reason"


def test_straight_pictures_with_a_distortion_are_told(problem: Problem) -> None:
    """Intrinsics with a distortion that the pictures have no more are refused."""
    bent = replace(problem.lens, distortion=(-0.6, 0.3, 0.0, 0.0))
    with pytest.raises(CameraError, match=r"better without it.*distortion: \[\]"):
        solve(replace(problem, lens=bent))


def test_pictures_that_tell_too_little_are_refused(problem: Problem) -> None:
    """Too few, too alike, joints that never moved: said with what to add."""
    shots = problem.shots
    with pytest.raises(CameraError, match="4 pictures: a pose is solved from 5 to 30"):
        check_poses(replace(problem, shots=shots[:4]))
    still = [replace(shot, joint_pos={**shot.joint_pos, "pan": 0.0, "lift": 0.1}) for shot in shots]
    with pytest.raises(CameraError, match=r"too similar: pan, lift never moved by 10 degrees"):
        check_poses(replace(problem, shots=still))
    twice = [shots[index % 3] for index in range(9)]
    with pytest.raises(CameraError, match="9 pictures show 3 different poses only"):
        check_poses(replace(problem, shots=twice))


def test_no_start_is_needed(problem: Problem) -> None:
    """Without a start the camera is found all around the arm."""
    assert off(solve(replace(problem, near=False)).view)[0] < 0.005
