"""The velocity task: strict files, and each reward against its formula written out in plain numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from policy_port.errors import TaskError
from policy_port.tasks.velocity import VelocityTask, load_task, shipped_tasks
from policy_port.tasks.velocity_rewards import REWARDS, Outcome

ROWS, JOINTS, FEET = 5, 3, 2


def outcome() -> Outcome:
    """A step of five environments, drawn; the first is told to stand, the second to turn on the spot."""
    rng = np.random.default_rng(0)
    vectors = {name: rng.normal(size=(ROWS, 3)) for name in ("command", "lin_vel", "ang_vel", "gravity")}
    vectors["command"][0], vectors["command"][1] = 0.0, [0.0, 0.0, 0.5]
    joints = ("joint_pos", "joint_vel", "joint_acc", "default", "effort")
    contact = rng.random((ROWS, FEET)) < 0.5
    contact[2], contact[3] = [True, False], [True, True]
    return Outcome(
        **vectors,
        **{name: rng.normal(size=(ROWS, JOINTS)) for name in joints},
        **{name: rng.normal(size=(ROWS, JOINTS)) for name in ("action", "last_action")},
        **{name: rng.random((ROWS, FEET)) for name in ("foot_speed", "foot_height", "air_time", "contact_time")},
        height=rng.random(ROWS),
        contact=contact,
        touched_down=contact & (rng.random((ROWS, FEET)) < 0.7),
        time=np.array([0.0, 0.1, 0.26, 0.4, 1.3]),
        failed=np.array([False, True, False, False, True]),
        joints={"joint_deviation_l1": [0, 2], "gait_pose": [2, 0]},
    )


def by_hand(name: str, step: Outcome, row: int) -> float:
    """The formula of one environment, number by number, as Isaac Lab's documentation has it."""
    cmd, v, w, g = (list(map(float, getattr(step, key)[row])) for key in ("command", "lin_vel", "ang_vel", "gravity"))
    q, dq, ddq, q0, tau = (
        list(map(float, getattr(step, key)[row]))
        for key in ("joint_pos", "joint_vel", "joint_acc", "default", "effort")
    )
    a, a0 = step.action[row].tolist(), step.last_action[row].tolist()
    feet = list(
        zip(
            *(
                getattr(step, key)[row].tolist()
                for key in ("foot_speed", "foot_height", "air_time", "contact_time", "contact", "touched_down")
            ),
            strict=True,
        )
    )
    moves = float(math.sqrt(cmd[0] ** 2 + cmd[1] ** 2) > 0.1)
    still = float(not moves and abs(cmd[2]) <= 0.1)
    standing = [contact for *_, contact, _ in feet]
    modes = [touch if contact else air for _, _, air, touch, contact, _ in feet]
    phases = [(step.time[row] / 0.5 + offset) % 1.0 for offset in (0.0, 0.5)]
    bent = [math.sin(math.pi * (phase - 0.6) / 0.4) ** 2 if phase > 0.6 else 0.0 for phase in phases]
    return {
        "track_lin_vel_xy_exp": math.exp(-((cmd[0] - v[0]) ** 2 + (cmd[1] - v[1]) ** 2) / 0.25),
        "track_ang_vel_z_exp": math.exp(-((cmd[2] - w[2]) ** 2) / 0.25),
        "lin_vel_z_l2": v[2] ** 2,
        "ang_vel_xy_l2": w[0] ** 2 + w[1] ** 2,
        "flat_orientation_l2": g[0] ** 2 + g[1] ** 2,
        "base_height_l2": (step.height[row] - 0.3) ** 2,
        "action_rate_l2": sum((x - y) ** 2 for x, y in zip(a, a0, strict=True)),
        "joint_torques_l2": sum(x**2 for x in tau),
        "energy": sum(abs(x * y) for x, y in zip(tau, dq, strict=True)),
        "joint_acc_l2": sum(x**2 for x in ddq),
        "joint_vel_l2": sum(x**2 for x in dq),
        "joint_deviation_l1": abs(q[0] - q0[0]) + abs(q[2] - q0[2]),
        "stand_still": still * sum(abs(x - y) for x, y in zip(q, q0, strict=True)),
        "feet_slide": sum(speed for speed, *_, contact, _ in feet if contact),
        "feet_air_time": moves * sum(air - 0.5 for _, _, air, *_, down in feet if down),
        "feet_air_time_positive_biped": moves * (min(*modes, 0.4) if sum(standing) == 1 else 0.0),
        "feet_gait": moves * sum((phase < 0.6) == contact for phase, contact in zip(phases, standing, strict=True)),
        "gait_pose": moves
        * math.exp(-((q[2] - q0[2] - 0.7 * bent[0]) ** 2 + (q[0] - q0[0] + 0.3 * bent[1]) ** 2) / 0.25),
        "foot_clearance": sum(speed * (height - 0.08) ** 2 for speed, height, *_ in feet),
        "is_alive": float(not step.failed[row]),
        "is_terminated": float(step.failed[row]),
    }[name]


@pytest.mark.parametrize("name", REWARDS)
def test_a_reward_is_its_formula(name: str) -> None:
    """Every term of the table, in environments that are told to stand, to turn and to go, some of which have failed."""
    params = dict(REWARDS[name].params)
    params |= {"threshold": 0.6, "offset": (0.0, 0.5)} if "period" in params else {}
    params |= {"joints": ("last", "first"), "swing": (0.7, -0.3)} if name == "gait_pose" else {}
    step = outcome()
    found = REWARDS[name].formula(step, **params)
    assert found.shape == (ROWS,)
    assert np.allclose(found, [by_hand(name, step, row) for row in range(ROWS)], atol=1e-12)


def test_shipped_tasks_load_and_are_written_whole(tmp_path: Path) -> None:
    """Each shipped task loads by its name; written with every value stated it is the same task."""
    assert {"go2_velocity", "g1_velocity"} <= set(shipped_tasks())
    for name in shipped_tasks():
        task = load_task(name)
        path = tmp_path / f"{name}.yaml"
        path.write_text(task.to_yaml())
        again = load_task(path)
        assert again == task
        assert again.name == name
        assert again.sha256 == task.sha256


def test_a_task_senses_what_its_rewards_read() -> None:
    """Nothing is measured that no reward and no termination reads: it would cost each step time."""
    task = load_task("go2_velocity")

    def senses(*rewards: str, **changed: Any) -> tuple[int, int, bool]:
        data = task.model_dump(exclude={"rewards", "terminations"}) | changed
        made = VelocityTask.model_validate(
            {**data, "rewards": {**{name: {"weight": 0.0} for name in rewards}, "is_alive": {"weight": 1.0}}}
        )
        return len(made.senses.links), len(made.senses.contacts), made.senses.effort

    assert senses("track_lin_vel_xy_exp") == (0, 0, False)
    assert senses("energy") == (0, 0, True)
    assert senses("feet_air_time") == (0, 4, False)
    assert senses("feet_slide") == (4, 4, False)
    assert senses("is_alive", terminations={"contact_links": ["base_link", "FL_calf"]}) == (0, 2, False)


def changed(**parts: Any) -> str:
    data = load_task("go2_velocity").model_dump(mode="json", exclude_none=True)
    for path, value in parts.items():
        *way, last = path.split("__")
        place = data
        for key in way:
            place = place.setdefault(key, {})
        place[last] = value
    return yaml.safe_dump(data)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            {"rewards__feet_sliding": {"weight": 1.0}},
            "no such reward term; did you mean 'feet_slide'.*There are: track_lin",
        ),
        ({"rewards__feet_slide": {"weigth": 1.0}}, "unknown key 'weigth'; did you mean 'weight'"),
        ({"rewards__energy": {"weight": -1.0, "params": {"std": 1.0}}}, "unknown parameter 'std'; it takes none"),
        (
            {"rewards__feet_gait": {"weight": 1.0, "params": {"offset": [0.0, 0.5]}}},
            "a list of numbers, one for each of FL, FR, RL, RR",
        ),
        ({"feet__XR": {"link": "XR"}, "rewards__feet_gait": {"weight": 1.0}}, "each of FL, FR, RL, RR, XR"),
        ({"rewards__feet_gait": {"weight": 1.0, "params": {"threshold": 1.0}}}, "threshold is the share of the period"),
        ({"rewards__gait_pose": {"weight": 1.0}}, "as many for each of FL, FR, RL, RR.*given: 0 joints, 1 numbers"),
        (
            {"rewards__gait_pose": {"weight": 1.0, "params": {"joints": ["a", "b", "c", "d"], "swing": [0.3, 0.3]}}},
            "a number for each of them .given: 4 joints, 2 numbers",
        ),
        (
            {"rewards__gait_pose": {"weight": 1.0, "params": {"joints": ["a", "b", "c"], "swing": [0.3] * 3}}},
            "joints foot by foot, as many for each of FL",
        ),
        (
            {"rewards__gait_pose": {"weight": 1.0, "params": {"joints": ["FL_calf_joint"] * 4, "swing": [0.3] * 4}}},
            "params.joints names FL_calf_joint more than once; name each joint once",
        ),
        ({"rewards__joint_deviation_l1__params__joints": 3.0}, "is a list of joint names"),
        ({"rewards__joint_deviation_l1__params__joints": ["a", "b", "a"]}, "joints names a more than once"),
        ({"rewards__track_lin_vel_xy_exp__params__std": 0.0}, "std is greater than 0"),
        ({"rewards__action_rate_l2__weight": 0.01}, "would reward what the term is there to charge; write -0.01"),
        ({"rewards__track_ang_vel_z_exp__weight": -1.0}, "would charge what the term is there to reward; write 1"),
        ({"randomisation__delay": [0.0, 20.0]}, "more than a second late.*mind the unit"),
        ({"noise__orientation": 3.0}, "less than or equal to 0.5"),
        ({"rewards": {"energy": {"weight": -1.0}}}, "no term has a positive weight"),
        ({"rewards": {}}, "at least 1"),
        ({"command__lin_vel_x": [1.0, -1.0]}, "the lower bound 1.0 is above"),
        ({"command__ang_vel_z": [-57.3, 57.3]}, "no robot moves at more than 50 m/s or rad/s.*mind the unit"),
        ({"episode": 20000.0}, "less than or equal to 3600"),
        ({"command__lin_vel_z": [0.0, 1.0]}, "unknown key 'lin_vel_z'"),
        ({"randomisation__friction": [0.4, 1.0]}, "unknown key 'friction'.*ground_friction"),
        ({"randomisation__ground_friction": [0.0, 1.0]}, "greater than 0"),
        ({"noise__joint_pos": -0.1}, "greater than or equal to 0"),
        ({"push": {"every": [5.0, 8.0]}}, "'force' is missing"),
        ({"policy_port_task": 2}, "policy_port_task"),
        ({"feet": {}}, "feet"),
    ],
)
def test_a_slip_of_the_pen_is_named(tmp_path: Path, parts: dict[str, Any], words: str) -> None:
    """An unknown term, key or parameter, a range that falls, rewards that pay for failing: file, line, what exists."""
    path = tmp_path / "task.yaml"
    path.write_text(changed(**parts))
    with pytest.raises(TaskError, match=words) as caught:
        load_task(path)
    assert "task.yaml:" in str(caught.value)


def test_an_unknown_task_is_told_which_ship() -> None:
    """A misspelt name lists the tasks that ship; a file that is not there is named."""
    with pytest.raises(TaskError, match="'go2_velocty'; did you mean 'go2_velocity'.*g1_velocity"):
        load_task("go2_velocty")
    with pytest.raises(TaskError, match="no such file"):
        load_task("nowhere.yaml")
