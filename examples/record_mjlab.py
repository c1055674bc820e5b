"""Record an environment of mjlab, in place of the loop of its play script.

    record(env, policy, "mjlab.npz", steps=1000)

`env` is mjlab's wrapper for RSL-RL, `policy` what its runner gives for inference. benchmarks/mjlab.md has what traces
of mjlab 1.6.0 that this recorded were held against.
"""

from __future__ import annotations

import mujoco
import numpy as np
import torch

from policy_port.trace import Recorder


def record(env, policy, path, steps, few=slice(0, 4), action="joint_pos", command="twist"):
    """Step the environment; `few` of its environments are recorded, by the names of its action and command terms."""
    scene = env.unwrapped
    robot, term = scene.scene["robot"], scene.action_manager.get_term(action)
    names, driven = list(robot.joint_names), list(term.target_names)
    biased = reads_encoders(scene)
    header = {
        "simulator": "mjlab, MuJoCo Warp",
        "joint_names": names,
        "action_names": driven,
        "timestep": scene.physics_dt,
        "decimation": scene.cfg.decimation,
        "control_dt": scene.step_dt,
        "joint_pos": "as the encoders read it" if biased else "as it is",
    }
    places = sensors(scene)

    def numbers(values):
        return values[few].detach().cpu().numpy().copy()  # a copy: mjlab writes into its buffers

    obs = env.get_observations()
    with Recorder(path, header) as recorder, torch.inference_mode():
        for _ in range(steps):
            data = robot.data
            moment = {
                "time": numbers(scene.episode_length_buf * scene.step_dt),
                # mjlab's encoders are off by a constant of each joint, which the action takes off its targets again:
                # what is read is where the policy stands, and what it acts on.
                "joint_pos": numbers(data.joint_pos_biased if biased else data.joint_pos),
                "joint_vel": numbers(data.joint_vel),
                "base_pos": numbers(data.root_link_pos_w - scene.scene.env_origins),
                "base_quat": numbers(data.root_link_quat_w),
                # The link's velocity; the policy sees that of the IMU, whose place is sensor_pos_imu_lin_vel.
                "base_lin_vel": numbers(data.root_link_lin_vel_b),
                "base_ang_vel": numbers(data.root_link_ang_vel_b),
                "observation": numbers(obs["actor"]),
            }
            robots = len(moment["base_pos"])
            moment |= {name: np.tile(place, (robots, 1)) for name, place in places.items()}
            if command in scene.command_manager.active_terms:
                moment["command"] = numbers(scene.command_manager.get_command(command))
            chosen = policy(obs)
            moment["action"] = numbers(chosen)
            obs, _, _, _ = env.step(chosen)
            # What the action set, before the encoders' bias comes off; a reset inside step leaves it as it was.
            target = moment["joint_pos"].copy()
            target[:, [names.index(name) for name in driven]] = numbers(term._processed_actions)
            recorder.record(**moment, target=target)


def reads_encoders(scene):
    """Whether the policy observes joints as their encoders read them."""
    terms = scene.cfg.observations["actor"].terms.values()
    return any(term is not None and term.params.get("biased") for term in terms)


def sensors(scene):
    """Place [m] and turn (wxyz) of each velocimeter and gyro that is on the robot's root body, seen from the body."""
    model, root = scene.sim.mj_model, scene.scene["robot"].indexing.root_body_id
    kinds = (int(mujoco.mjtSensor.mjSENS_VELOCIMETER), int(mujoco.mjtSensor.mjSENS_GYRO))
    found = {}
    for index in range(model.nsensor):
        site = model.sensor_objid[index]
        if model.sensor_type[index] in kinds and model.site_bodyid[site] == root:
            name = model.sensor(index).name.removeprefix("robot/")
            found[f"sensor_pos_{name}"] = model.site_pos[site].copy()
            found[f"sensor_quat_{name}"] = model.site_quat[site].copy()
    return found
