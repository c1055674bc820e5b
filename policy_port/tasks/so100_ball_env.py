"""The reach task for policies that see, registered as `PolicyPortSO100ReachBall-v1`: the tip goes to above a ball.

An orange table-tennis ball lies on the table, and the goal stands above it. Observation in mode "state" is that of
`PolicyPortSO100Reach-v1`, so that its policies can teach; in mode "rgb" the numbers are `joint_pos` (6) and
`joint_target` (6) [rad], and `base_camera` shows the rest: nothing but the picture tells where the ball is.

World and base frame coincide. The camera is given as ManiSkill's digital twins give theirs, `base_camera_settings` with
`pos`, `target` [m] and the vertical `fov` [rad]. What differs between episodes follows from their seeds alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import sapien
import torch
from mani_skill.sensors.camera import CameraConfig
from mani_skill.utils import common, sapien_utils
from mani_skill.utils.registration import register_env
from mani_skill.utils.structs.actor import Actor
from mani_skill.utils.structs.pose import Pose
from sapien.render import RenderBodyComponent, RenderMaterial

from policy_port.errors import TaskError, closest
from policy_port.tasks.coarse_meshes import coarsen
from policy_port.tasks.picture_looks import Look, Picture, draw_look, looked_at, read_background
from policy_port.tasks.reach import SO100_BALL
from policy_port.tasks.so100_reach_env import SO100ReachEnv

ENV_ID = "PolicyPortSO100ReachBall-v1"
"""Name under which the environment is registered."""

CAMERA = "base_camera"
"""Name of its camera."""

BALL_RADIUS = 0.02
"""Half the diameter of a table-tennis ball [m]."""

MESH_CELL = 0.004
"""How coarsely the arm is drawn [m]; a pixel of 64 x 64 shows about 10 mm of it."""

CAMERA_SETTINGS: Final[dict[str, Any]] = {"pos": [0.0, -0.75, 0.48], "target": [0.0, -0.2, 0.05], "fov": 0.8}
"""Position, what it looks at [m, base frame] and vertical field of view [rad]: in front of the arm, looking back."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Randomisation:
    """What differs from episode to episode, each drawn uniformly. The last four are for who goes on to a real table."""

    camera_offset: float = 0.01
    """Half width of the camera's position on each axis [m]."""
    target_offset: float = 0.01
    """Half width of the point that it looks at, on each axis [m]."""
    ball_colour: float = 0.1
    """Half width of each of the ball's colours, of 1."""
    table_colour: float = 0.15
    """Half width of the table's brightness, and half of it of each of its colours, of 1."""
    light: float = 0.3
    """By which share the light may be stronger or weaker."""
    pattern: float = 0.0
    """Greatest contrast of a pattern on the table, boards, blotches and grain: a standard deviation, of 1."""
    gain: float = 0.0
    """By which share the picture may be brighter or darker."""
    white_balance: float = 0.0
    """By which share each of its colours may be."""
    blur: float = 0.0
    """Greatest standard deviation of a point that is out of focus [pixels]."""


BALL, TABLE, LIGHT = (1.0, 0.38, 0.05), (0.38, 0.38, 0.38), (0.45, 0.45, 0.45)
"""Colours of ball and table, and the ambient light, in the middle of what is drawn."""


@register_env(ENV_ID, max_episode_steps=SO100_BALL.episode_steps)
class SO100ReachBallEnv(SO100ReachEnv):
    """Bring the gripper's tip to above the ball that the camera sees, and hold it there."""

    SUPPORTED_OBS_MODES = ("state", "state_dict", "rgb", "rgb+segmentation", "none")

    def __init__(
        self,
        *args: Any,
        base_camera_settings: Mapping[str, Any] | None = None,
        domain_randomization: bool = True,
        domain_randomization_config: Mapping[str, float] | Randomisation | None = None,
        greenscreen_overlay_path: str | None = None,
        mesh_cell: float = MESH_CELL,
        **kwargs: Any,
    ) -> None:
        """Build the scene.

        Args:
            *args: Passed on to `SO100ReachEnv`.
            base_camera_settings: The camera's `pos`, `target` and `fov`; what is left out is `CAMERA_SETTINGS`'.
            domain_randomization: Whether anything differs but ball and start pose.
            domain_randomization_config: Fields of `Randomisation` that are to be others.
            greenscreen_overlay_path: A picture, of the camera's size, that is shown wherever neither arm nor ball is,
                as ManiSkill's digital twins name it; table colours and patterns are not drawn then.
            mesh_cell: How coarsely the arm is drawn [m], see `coarsen`; 0 draws ManiSkill's own meshes.
            **kwargs: Passed on to `SO100ReachEnv`.

        Raises:
            TaskError: When a setting has no such key.
        """
        given = domain_randomization_config or {}
        given = dataclasses.asdict(given) if isinstance(given, Randomisation) else dict(given)
        camera = dict(base_camera_settings or {})
        for name, stated, known in (
            ("domain_randomization_config", given, [field.name for field in dataclasses.fields(Randomisation)]),
            ("base_camera_settings", camera, list(CAMERA_SETTINGS)),
        ):
            for key in stated:
                if key not in known:
                    raise TaskError(
                        f"{ENV_ID}: {name} has no '{key}'{closest(key, known) or '.'} It has {', '.join(known)}"
                    )
        if not domain_randomization:
            given = {field.name: 0.0 for field in dataclasses.fields(Randomisation)}
        self.camera_settings, self._mesh_cell = {**CAMERA_SETTINGS, **camera}, mesh_cell
        self._background_file = greenscreen_overlay_path
        self._background: Picture | None = None
        self.randomisation = Randomisation(**given)
        kwargs.setdefault("task", SO100_BALL)
        super().__init__(*args, **kwargs)

    @property
    def _default_sensor_configs(self) -> list[CameraConfig]:
        fov = float(self.camera_settings["fov"])
        return [CameraConfig(CAMERA, Pose.create(sapien.Pose()), 64, 64, fov, 0.01, 10.0, mount=self._camera_mount)]

    @property
    def _default_human_render_camera_configs(self) -> CameraConfig:
        pose = sapien_utils.look_at(eye=self.camera_settings["pos"], target=self.camera_settings["target"])
        return CameraConfig("render_camera", pose, 480, 480, float(self.camera_settings["fov"]), 0.01, 10.0)

    def _load_agent(self, options: dict[str, Any]) -> None:
        super()._load_agent(options)
        for link in self.agent.robot.links if self._mesh_cell > 0.0 else ():
            coarsen(link, self._mesh_cell)

    def _load_scene(self, options: dict[str, Any]) -> None:
        super()._load_scene(options)
        self._hidden_objects.append(self.goal_marker)
        builder: Any = self.scene.create_actor_builder()
        builder.initial_pose = Pose.create(sapien.Pose())
        self._camera_mount = builder.build_kinematic("camera_mount")
        self._looks: dict[int, Look] = {}
        self.ball = self._drawn("ball", sapien.Pose([0.0, 0.0, BALL_RADIUS]))

    def _build_ground(self) -> None:
        self.table = self._drawn("table", sapien.Pose([0.0, -0.2, -0.01]))

    def _drawn(self, name: str, pose: sapien.Pose) -> Actor:
        """Ball or table, one in each environment with a material of its own."""
        built = []
        for row in range(self.num_envs):
            builder: Any = self.scene.create_actor_builder()
            material = RenderMaterial(base_color=[*(BALL if name == "ball" else TABLE), 1.0], roughness=0.8)
            if name == "ball":
                builder.add_sphere_visual(radius=BALL_RADIUS, material=material)
            else:
                builder.add_box_visual(half_size=(3.0, 3.0, 0.01), material=material)
            builder.initial_pose = Pose.create(pose)
            builder.set_scene_idxs([row])
            built.append(builder.build_kinematic(name=f"{name}-{row}"))
            self.remove_from_state_dict_registry(built[-1])
        merged = Actor.merge(built, name=name)
        self.add_to_state_dict_registry(merged)
        return merged

    def _initialize_episode(self, env_idx: torch.Tensor, options: dict[str, Any]) -> None:
        super()._initialize_episode(env_idx, options)
        below = self.goal[env_idx].clone()
        below[:, 2] = BALL_RADIUS
        self.ball.set_pose(Pose.create_from_pq(below))
        # Opened without a renderer it has physics and no camera: nothing is coloured then.
        if not self.scene.can_render():
            return
        rows = common.to_numpy(env_idx)
        config: Any = self._sensor_configs[CAMERA]
        self._size = int(config.height), int(config.width)
        if self._background_file is not None and self._background is None:
            self._background = read_background(self._background_file, self._size)
        drawn = [self._draw(int(row)) for row in rows]
        eyes, targets = (torch.tensor(np.array(part), dtype=torch.float32) for part in zip(*drawn, strict=True))
        self._camera_mount.set_pose(sapien_utils.look_at(eyes.to(self.device), targets.to(self.device)))

    def _draw(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Colour an environment's episode; returns where its camera is and what it looks at [m], shape (3,) each."""
        drawn, rng = self.randomisation, np.random.default_rng((int(self.episode_seeds[row]), 1))
        ball = np.clip(np.array(BALL) + rng.uniform(-1, 1, 3) * drawn.ball_colour, 0.0, 1.0)
        table = np.array(TABLE) + (rng.uniform(-1, 1) + rng.uniform(-0.5, 0.5, 3)) * drawn.table_colour
        for actor, colour in ((self.ball, ball), (self.table, np.clip(table, 0.0, 1.0))):
            body: Any = actor._objs[row].find_component_by_type(RenderBodyComponent)
            for part in body.render_shapes[0].parts:
                part.material.set_base_color([*colour.tolist(), 1.0])
        light = np.array(LIGHT) * (1.0 + rng.uniform(-1, 1) * drawn.light)
        self.scene.sub_scenes[row].render_system.ambient_light = light.tolist()
        self._looks[row] = draw_look(np.random.default_rng((int(self.episode_seeds[row]), 2)), drawn, self._size)
        places = [np.array(common.to_numpy(self.camera_settings[key]), np.float64) for key in ("pos", "target")]
        offsets = (drawn.camera_offset, drawn.target_offset)
        eye, target = (place + rng.uniform(-1, 1, 3) * width for place, width in zip(places, offsets, strict=True))
        return eye, target

    def _get_obs_sensor_data(self, apply_texture_transforms: bool = True) -> dict[str, Any]:
        shown = super()._get_obs_sensor_data(apply_texture_transforms)
        changes = self._background is not None or any(not look.plain for look in self._looks.values())
        if apply_texture_transforms and "rgb" in shown[CAMERA] and changes:
            only = {"rgb": False, "depth": False, "position": False, "segmentation": True}
            segments = self._sensors[CAMERA].get_obs(**only)["segmentation"][..., 0]
            behind = (segments == self.table.per_scene_id.view(-1, 1, 1)) | (segments == 0)
            looks = [self._looks[row] for row in range(self.num_envs)]
            shown[CAMERA]["rgb"] = looked_at(looks, shown[CAMERA]["rgb"], behind, self._background)
        return shown

    def _get_obs_extra(self, info: dict[str, Any]) -> dict[str, torch.Tensor]:
        return super()._get_obs_extra(info) if self.obs_mode_struct.use_state else {}
