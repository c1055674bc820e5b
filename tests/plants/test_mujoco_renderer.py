"""Several renderers of MuJoCo in one process."""

from __future__ import annotations

import numpy as np
import pytest


def test_a_renderer_that_goes_takes_nothing_of_another_with_it() -> None:
    """The first one draws the same picture after a second one was closed, and after a third one was dropped."""
    mujoco = pytest.importorskip("mujoco")
    from policy_port.plants.mujoco_renderer import Renderer

    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><light pos='0 0 2'/><geom type='sphere' size='.1'/><geom type='capsule' size='.05 .3'/>"
        "<camera pos='0 -1 .3' xyaxes='1 0 0 0 .3 1'/></worldbody></mujoco>"
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)

    def drawn(renderer: Renderer) -> np.ndarray:
        renderer.update_scene(data, camera=0)
        return renderer.render()

    try:
        first = Renderer(model, 48, 64)
    except Exception as cause:
        pytest.skip(f"MuJoCo can't draw off screen here ({cause})")
    picture = drawn(first)
    assert picture.std() > 10
    second, third = Renderer(model, 32, 32), Renderer(model, 24, 24)
    drawn(second), drawn(third), drawn(first)
    second.close()
    del third
    assert np.array_equal(drawn(first), picture)
    first.close()


@pytest.mark.parametrize("software", [False, True])
def test_edges_are_smoothed_where_that_costs_little(software: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A box has more shades with a GPU, as its edges are mixed, than on a processor."""
    mujoco = pytest.importorskip("mujoco")
    from policy_port.errors import MissingDependencyError
    from policy_port.plants import mujoco_scene

    monkeypatch.setattr(mujoco_scene, "by_software", lambda: software)
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><light pos='0 0 2'/><body><freejoint/><geom type='box' size='.1 .1 .1' euler='10 20 30'/>"
        "</body></worldbody></mujoco>"
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    view = mujoco_scene.TrackingView(model, 1)
    try:
        picture = view.image(data, 120, 160)
    except MissingDependencyError as cause:
        pytest.skip(str(cause))
    finally:
        view.close()
    shades = len(np.unique(picture.reshape(-1, 3), axis=0))
    assert picture.std() > 10
    assert (shades < 12) == software
