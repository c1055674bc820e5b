"""Where the reference motion is shown, and what the keys of MuJoCo's window tell."""

from __future__ import annotations

import numpy as np

from policy_port.contract.motion import Following
from policy_port.live.ghost import Ghost
from policy_port.live.window import DOWN, LEFT, UP, WindowView
from policy_port.live.wishes import Element, Wishes
from policy_port.motion.followed import Clip
from policy_port.motion.motion import Motion

TURN = np.array([np.cos(np.pi / 4), 0.0, 0.0, np.sin(np.pi / 4)])
"""A quarter turn about the vertical, wxyz."""


def test_a_ghost_begins_where_the_robot_does() -> None:
    """A clip that walks 1 m along its own x, beside a robot that looks along y, walks 1 m along y from where it is; its
    height stays the clip's.
    """
    place = np.stack([np.linspace(5.0, 6.0, 11), np.full(11, 3.0), np.full(11, 0.8)], axis=1)
    motion = Motion(
        rate=10.0,
        joint_names=("a",),
        joint_pos=np.linspace(0.0, 0.5, 11)[:, None],
        joint_vel=np.zeros((11, 1)),
        root_pos=place,
        root_quat=np.tile([1.0, 0.0, 0.0, 0.0], (11, 1)),
    )
    use = Following.model_validate({"align": "yaw", "end": "hold"})
    ghost = Ghost(Clip(motion, use, 0.1))
    ghost.begin(np.array([1.0, 2.0, 0.5]), TURN)
    begin, end = ghost.pose(0.0), ghost.pose(1.0)
    assert np.allclose(begin[0], [1.0, 2.0, 0.8])
    assert np.allclose(end[0], [1.0, 3.0, 0.8])
    assert np.allclose(end[1], TURN)
    assert end[2] == {"a": 0.5}


def test_keys_of_the_window_tell_what_they_say() -> None:
    """Arrows move an element by a tenth of its range and no further than it, and keys for others do nothing."""
    wishes = Wishes([Element(name="lin_vel_x", low=-0.5, high=1.0, value=0.9)], ["base"], ["walk"])
    view = object.__new__(WindowView)
    view._wishes = wishes
    for code in (UP, UP, LEFT, ord(",")):
        view.key(code)
    assert wishes.told() == {"lin_vel_x": 1.0}
    view.key(DOWN)
    assert np.isclose(wishes.told()["lin_vel_x"], 0.85)
    view.key(ord("0"))
    assert wishes.told() == {"lin_vel_x": 0.0}
    view.key(257)
    assert wishes.paused
    assert not wishes.take_step()
    view.key(ord("N"))
    assert wishes.take_step()
    view.key(ord("P"))
    push = wishes.take_push()
    assert push is not None
    assert (push.link, push.frame) == ("base", "base")
    view.key(259)
    assert wishes.take_reset()
    assert not wishes.take_reset()
