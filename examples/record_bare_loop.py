"""Record a control loop of one's own: only NumPy and trace.py are needed.

The "robot" is two joints without gravity under position drives; the "policy" is a line of NumPy. Put your own in their
place and keep the rest. `trace.py` is policy_port/trace.py, which may be copied next to your script.

    python examples/record_bare_loop.py trace.npz
"""

from __future__ import annotations

import sys

import numpy as np

from policy_port.trace import Recorder

JOINTS = ["hip", "knee"]
DEFAULT = np.array([0.1, -0.2])  # [rad]
STIFFNESS, DAMPING, INERTIA = np.array([20.0, 15.0]), np.array([1.0, 0.8]), 0.05
TIMESTEP, DECIMATION = 0.005, 4
ACTION_SCALE, VELOCITY_SCALE = 0.25, 0.05


def policy(observation: np.ndarray, step: int) -> np.ndarray:
    """Your network: observation in, raw action out."""
    swing = np.sin(0.06 * step + np.array([0.0, 1.0]))
    return (swing - 0.5 * observation[:2] - 0.1 * observation[2:4]).astype(np.float32)


def main(path: str, steps: int = 300) -> None:
    """Run the loop and record it."""
    header = {
        "simulator": "bare loop",
        "joint_names": JOINTS,
        "action_names": JOINTS,
        "timestep": TIMESTEP,
        "decimation": DECIMATION,
        "control_dt": TIMESTEP * DECIMATION,
        "actuation": "explicit",
        "stiffness": STIFFNESS.tolist(),
        "damping": DAMPING.tolist(),
    }
    joint_pos, joint_vel, last_action = DEFAULT.copy(), np.zeros(2), np.zeros(2, np.float32)
    # Leaving the block well writes the .npz; on an error, or a kill, what was recorded stays in trace.npz.parts.
    with Recorder(path, header) as recorder:
        for step in range(steps):
            observation = np.concatenate([joint_pos - DEFAULT, joint_vel * VELOCITY_SCALE, last_action])
            observation = observation.astype(np.float32)
            action = policy(observation, step)
            target = DEFAULT + ACTION_SCALE * action.astype(np.float64)
            # One row is one moment: what was measured, what the network saw of it, what it decided. So it is recorded
            # before the robot moves. The arrays are copied.
            recorder.record(
                time=step * header["control_dt"],
                episode=0,
                joint_pos=joint_pos,
                joint_vel=joint_vel,
                observation=observation,
                action=action,
                target=target,
            )
            for _ in range(DECIMATION):
                effort = STIFFNESS * (target - joint_pos) - DAMPING * joint_vel
                joint_vel = joint_vel + effort / INERTIA * TIMESTEP
                joint_pos = joint_pos + joint_vel * TIMESTEP
            last_action = action


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "trace.npz")
