"""Figures of the camera commands: see camera.md. `python benchmarks/camera.py --part check`."""

from __future__ import annotations

import argparse
from collections import Counter

from camera_setups import KINDS, Stage, some_pose, wrong

from policy_port.camera.check import check_camera, reference
from policy_port.camera.reference import colourful
from policy_port.camera.render import Twin
from policy_port.camera.stills import Frame
from policy_port.errors import CameraError

GOOD, CHECKS = 50, 4


def check(first: int, good: int, bad: int) -> None:
    """What `camera check` catches in `bad` set-ups of each kind, and raises falsely in `good` good set-ups."""
    caught, named, false, unstored = Counter[str](), Counter[str](), list[str](), 0
    # What is believed of the arm: the robot file's colours, and nothing around it.
    twin = Twin("so100")
    for seed in range(first, first + good):
        stage = Stage(seed)
        pose = some_pose(stage.rng)
        try:
            good_frames = frames(stage.frames(pose, stage.light(by=0.0)))
            stored = reference(good_frames, stage.view, stage.believed(pose), twin)
        except CameraError as cause:
            unstored += 1
            print(f"{seed}: not stored: {cause}", flush=True)
            stage.close()
            continue
        pose, told = some_pose(stage.rng), colourful(stored)
        found = check_camera(frames(stage.frames(pose, stage.light())), stage.view, stage.believed(pose), twin, stored)
        if found:
            false.append(f"{seed}: " + ", ".join(f"{item.name} ({item.text})" for item in found))
            print("false:", false[-1], flush=True)
        for kind in KINDS if seed < first + bad else ():
            pose = some_pose(stage.rng)
            found = check_camera(frames(wrong(stage, kind, pose)), stage.view, stage.believed(pose), twin, stored)
            caught[kind] += bool(found)
            names = {item.name for item in found}
            named[kind] += bool(names & NAMED[kind])
            if not found or not names & NAMED[kind]:
                print(f"{seed} {kind} {told}: {[(item.name, item.text) for item in found]}", flush=True)
        stage.close()
    print(f"false alarms: {len(false)} of {good}; not stored: {unstored}")
    for kind in KINDS:
        print(f"{kind}: caught {caught[kind]} of {bad}, by its name {named[kind]}")


NAMED = {
    "moved": {"moved", "fov"},
    "turned_over": {"turned_over"},
    "mirrored": {"mirrored"},
    "red_blue": {"red_blue"},
    "fov": {"fov", "moved"},
    "gain": {"exposure"},
    "another": {"another", "not_found", "moved", "fov"},
    "focus": {"focus"},
    "frozen": {"frozen"},
}
"""Findings that say what is wrong."""


def frames(images: list) -> list[Frame]:
    """Frames without a clock."""
    return [Frame(image, 0.0) for image in images]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", choices=["check"], required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--good", type=int, default=GOOD)
    parser.add_argument("--bad", type=int, default=10)
    given = parser.parse_args()
    check(given.first, given.good, given.bad)
