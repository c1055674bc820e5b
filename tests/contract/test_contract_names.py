"""Names in a contract become those of arrays, files and lines of reports."""

from __future__ import annotations

import pytest

from policy_port.contract import Contract
from tests.samples import contract_data

IMAGE = {"height": 8, "width": 8, "channels": 3, "layout": "nhwc", "dtype": "uint8", "scale": 1.0}


def named(name: str, *, image: bool) -> Contract:
    term = {"term": "joint_vel", "name": "vel" if image else name}
    images = [{**IMAGE, "name": name if image else "rgb"}]
    return Contract.model_validate(contract_data(observation={"terms": [term]}, images=images))


@pytest.mark.parametrize("image", [False, True], ids=["term", "image"])
def test_a_name_that_can_be_no_array_or_file_is_refused(image: bool) -> None:
    """The message says what may stand there; a usual name with spaces, dots and brackets passes."""
    for name in ("", " ", "..", ".hidden", "a/b", "a\\b", "two\nlines", "tail ", "\x1b[31m"):
        with pytest.raises(ValueError, match=r"can't be a name.*printable characters"):
            named(name, image=image)
    assert named("imu vel_2.left-foot [m]", image=image).images
