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
