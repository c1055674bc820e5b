"""What is fixed to the base of a robot in a MuJoCo model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import mujoco
import numpy as np

from policy_port.plants.places import Link, Places, Pose, Sensor, Site


def places_of(model: mujoco.MjModel, base: int, file: Path, sensors: Mapping[str, Sensor], frame: str | None) -> Places:
    """The places of the robot whose base link is body `base`; see `Places` for the rest."""
    bodies = [int(body) for body in np.flatnonzero(model.body_rootid == base)]
    name = {body: model.body(body).name or f"body {body}" for body in bodies}
    links = []
    for body in bodies:
        moves = body != base and model.body_jntnum[body]
        first = int(model.body_jntadr[body])
        links.append(
            Link(
                name=name[body],
                parent=name.get(int(model.body_parentid[body]), ""),
                moved_by=(model.joint(first).name or f"joint {first}") if moves else "",
                pose=Pose.of(model.body_pos[body], model.body_quat[body]),
                mass=float(model.body_mass[body]),
                centre_of_mass=model.body_ipos[body].copy(),
            )
        )
    sites = {
        model.site(site).name: Site(name[body], Pose.of(model.site_pos[site], model.site_quat[site]))
        for site, body in enumerate(model.site_bodyid.tolist())
        if body in name and model.site(site).name
    }
    return Places(file=file, links=links, sites=sites, sensors=sensors, frame=frame)
