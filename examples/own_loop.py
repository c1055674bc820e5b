"""Fly a port in a control loop of one's own.

The "robot" is a line of NumPy that follows its targets. Put your own in its place and keep the rest: the contract says
which joints the policy moves, at which rate, and the controller makes its observations and targets, by joint name.

    python examples/own_loop.py port/
    python examples/own_loop.py port/ MAPPING  # where it speaks degrees or percent: the mapping it was made with
"""

from __future__ import annotations

import sys

import policy_port as pp


def main(path: str, through: str | None = None, steps: int = 200) -> None:
    """Run the port for some steps; print where it drives its joints."""
    pilot = pp.load_port(path).pilot(None if through is None else pp.load_mapping(through))
    # Your robot's joints in your order, which need not be the contract's.
    joints = sorted(pilot.contract.joint_names)
    controller = pp.Controller(pilot.contract, pilot.open(), joints, num_envs=1)

    position, velocity = controller.default_joint_pos(), 0.0 * controller.default_joint_pos()  # rad or m
    for step in range(steps):
        controller.state.joint_pos[...] = position
        controller.state.joint_vel[...] = velocity
        # A walking policy also wants `controller.command`, one with a goal `controller.goal`; both start at zero, as
        # does what the base measures, but for its upright attitude.
        if step == 0:
            controller.reset()
        target = controller()
        # Your robot moves here, for `control_dt` seconds.
        velocity = 0.2 * (target - position) / pilot.contract.control_dt
        position = position + velocity * pilot.contract.control_dt

    print(f"{steps} steps of {pilot.contract.control_dt:g} s")
    for name, target in zip(joints, controller.signals.joint_target[0], strict=True):
        print(f"{name}: {target:.4f}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:3])
    except pp.PolicyPortError as error:
        sys.exit(f"error: {error}")
