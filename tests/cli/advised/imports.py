"""What the messages of `contract import` and `contract check` advise: a contract's gaps, and descriptors' own."""

from __future__ import annotations

from tests.cli.advised.descriptors import build as build
from tests.cli.advised.trial import Note, Trial, without
from tests.descriptors.test_newton_assets import asset


def importing(source: str, **options: str) -> str:
    """The command with each option, or without it where its value is empty."""
    given = [f"--{name.replace('_', '-')} {value}" for name, value in options.items() if value]
    return f"contract import {source} {' '.join(given)} --out new"


def newton(source: str = "toy.yaml", more: str = "", **changes: str) -> str:
    options = {"order": "mjw", "layout": "isaaclab_velocity", "robot": "toy", "timestep": "0.005"}
    return importing(f"{source} {more}", **({**options, "set": "decimation=4", "actuation": "implicit"} | changes))


def unitree(source: str = "deploy.yaml", more: str = "", **changes: str) -> str:
    options = {"names": "names.yaml", "robot": "toy", "timestep": "0.005", "actuation": "implicit"}
    return importing(f"{source} {more}", **(options | {"gains_order": "motor"} | changes))


def mjlab(source: str = "mj.onnx", more: str = "", **changes: str) -> str:
    options = {"layout": "mjlab_velocity", "robot": "toy", "timestep": "0.005", "actuation": "implicit"}
    return importing(f"{source} {more}", **(options | {"set": "decimation=4"} | changes))


def lerobot(source: str = "config.json", more: str = "", **changes: str) -> str:
    options = {"names": "pan.yaml", "control_frequency": "30", "robot": "so100", "actuation": "explicit"}
    options |= {"set": "base.floating=false"}
    return importing(f"{source} {more}", **(options | changes))


def isaac(source: str = "io.yaml", more: str = "", **changes: str) -> str:
    options = {"robot": "toy", "actuation": "implicit"}
    return importing(f"{source} {more}", **(options | changes))


UNITS = "--set 'joints.*.unit=deg' --set joints.gripper.unit=percent"
DEFAULTS = "--set 'joints.*.default=0'"
ARM = f"{UNITS} {DEFAULTS}"
COMMAND = "--set observation.terms.1.term=velocity_command"
WHOLE = "--set action.terms='[{term: joint_position, scale: 0.5, offset: default}]'"
RATE = "--control-frequency HERTZ, or the data set's meta/info.json as a second SOURCE"
LEFT_OUT = "is left out: mjlab wrote gains in actuator order"
OWN_ACTION = "if you know what it does, state the action yourself: --set action.terms='[...]'"
OWN_TERM = "if you know what it does, state the whole term yourself: --set observation.terms.{}="
NOT_IN_LAYOUT = "Choose another --layout, or take it as numbers of its task with --size {}=N"

ENV = "contract import --env PolicyPortSO100Reach-v1 --out new"

GAPS = [
    Trial(newton(robot=""), "--robot NAME", newton()),
    Trial(newton(timestep=""), "--timestep SECONDS", newton()),
    Trial(newton(set=""), "--set decimation=N", newton()),
    Trial(newton(actuation=""), "--actuation implicit, explicit or model", newton()),
    Trial(newton(actuation=""), "--actuation implicit, explicit or model", newton(actuation="explicit")),
    Trial(newton(actuation=""), "--actuation implicit, explicit or model", newton(actuation="model")),
    Trial(
        newton("no_pose.yaml"),
        "--set joints.JOINT.default=NUMBER",
        newton("no_pose.yaml", " ".join(f"--set joints.{name}.default=0.1" for name in asset()["mjw_joint_names"])),
    ),
    Trial(
        mjlab(layout="", set="observation.terms='[{term: external, name: all, size: 15}]'", more="--set decimation=4")
        + " --set base.floating=true",
        "--trained-in WORDS",
        mjlab(layout="", set="observation.terms='[{term: external, name: all, size: 15}]'", more="--set decimation=4")
        + " --set base.floating=true --trained-in mjlab",
    ),
    Trial(
        unitree("deploy_no_base.yaml"),
        "--set base.floating=true or false",
        unitree("deploy_no_base.yaml", "--set base.floating=true"),
    ),
    Trial(
        unitree("deploy_no_base.yaml"),
        "--set base.floating=true or false",
        unitree("deploy_no_base.yaml", "--set base.floating=false"),
    ),
    Trial(
        unitree("deploy_idle.yaml"),
        "--set action.terms='[{term: joint_position, scale",
        unitree("deploy_idle.yaml", WHOLE),
    ),
    Trial(unitree(timestep=""), "it follows from --timestep", unitree()),
    Trial(unitree(timestep="0.003"), "correct --timestep", unitree()),
    Note(newton(name="toy"), "--name, or the output's own"),
    Trial(
        newton(more="--set joints.L_hipp.stiffness=1"),
        "--set {}: there is no joint '{}'{} The joints are: {}",
        newton(more="--set joints.L_hip.stiffness=1"),
    ),
    Trial(
        newton(more="--set observation.terms.joint_pos.scale=3"),
        "--set {}: there is no entry '{}'{} There are: {}",
        newton(more="--set observation.terms.joint_pos_rel.scale=3"),
    ),
    Note(newton(more="--set robot.arm=1"), "--set {}: nothing to go into at '{}'"),
    Note(newton(more="--set base={"), "--set {}"),
    Trial(
        unitree("deploy_scan.yaml", "--size height_scan=many"),
        "--size {}={}: the size is a whole number above 0",
        unitree("deploy_scan.yaml", "--size height_scan=187"),
    ),
]

NEWTON = [
    Trial(newton(order=""), "--order physx or --order mjw", newton(order="physx")),
    Trial(newton(order=""), "--order physx or --order mjw", newton(order="mjw")),
    Trial(newton(layout=""), "--layout isaaclab_velocity if yours was trained on that task", newton()),
    Trial(newton(layout="isaaclab_velo"), "--layout {}: unknown here{} Known: {}", newton()),
    Trial(
        newton(name="physx_toy"),
        "names itself a {} policy. In the wrong order",
        newton(name="physx_toy", order="physx"),
    ),
    Trial(newton(name="physx_toy"), "names itself a {} policy. In the wrong order", newton(name="my_toy")),
    Note(newton(), "--order {}"),
    Note(newton(), "--layout {}: {}"),
]

UNITREE = [
    Trial(unitree(names=""), "--names FILE, a YAML mapping with joint_names in the policy's order", unitree()),
    Trial(
        unitree(names=""),
        "--names FILE, a YAML mapping with joint_names in the policy's order",
        unitree(names="motors.yaml"),
    ),
    Trial(
        unitree(names="bare.yaml"),
        "{}: is a bare list of {} names, which does not say",
        unitree(names="bare.yaml", names_order="motor"),
    ),
    Trial(
        unitree(names="bare.yaml"),
        "{}: is a bare list of {} names, which does not say",
        unitree(names="bare.yaml", names_order="policy"),
    ),
    Trial(
        unitree(names="bare.yaml"), "{}: is a bare list of {} names, which does not say", unitree(names="motors.yaml")
    ),
    Note(unitree(names="bare.yaml", names_order="motor"), "{} (--names-order {})"),
    Trial(unitree(gains_order=""), "--gains-order policy or --gains-order motor", unitree(gains_order="policy")),
    Trial(unitree(gains_order=""), "--gains-order policy or --gains-order motor", unitree(gains_order="motor")),
    Trial(
        unitree("deploy_wide.yaml", gains_order="policy"),
        "--gains-order {}: the gains of {} can only be in {} order",
        unitree("deploy_wide.yaml"),
    ),
    Trial(
        unitree("deploy_marked.yaml", gains_order=""),
        "{}: gains were taken in motor order, {}",
        unitree("deploy_marked.yaml", gains_order="policy"),
    ),
    Trial(
        unitree("deploy_scan.yaml"),
        "if only its task computes it, take it as it is with --size {}=N",
        unitree("deploy_scan.yaml", "--size height_scan=187"),
    ),
    Trial(
        unitree("deploy_scan.yaml", "--size height_scan=186"),
        "has {} numbers, --size says {}",
        unitree("deploy_scan.yaml", "--size height_scan=187"),
    ),
    Trial(
        unitree("deploy_scan.yaml", "--size height_scan=187 --size height_scn=1"),
        "--size {}: {} has no term of that name whose size is open{}",
        unitree("deploy_scan.yaml", "--size height_scan=187"),
    ),
    Trial(
        unitree("deploy_motion.yaml", "--set motion.chain=[]"),
        "--set motion.anchor=LINK",
        unitree("deploy_motion.yaml", "--set motion.chain=[] --set motion.anchor=pelvis"),
    ),
    Trial(
        unitree("deploy_motion.yaml", "--set motion.anchor=pelvis"),
        "--robot FILE, the URDF or MJCF that the policy was trained on",
        unitree("deploy_motion.yaml", "--set motion.anchor=pelvis --set motion.chain=[]"),
    ),
    Trial(unitree("deploy_ema.yaml"), OWN_ACTION, unitree("deploy_ema.yaml", WHOLE)),
    *(
        Trial(
            unitree("deploy_imu.yaml"),
            OWN_TERM,
            unitree("deploy_imu.yaml", f"--set observation.terms.projected_gravity='{{{whole}}}'"),
        )
        for whole in ("term: projected_gravity", "term: external, name: mine, size: 3")
    ),
    Trial(
        importing("sar/walk", actuation="implicit"),
        "--set {}=VALUE",
        importing("sar/walk", actuation="implicit", set="observation.history.layout=term_major"),
    ),
]

MJLAB = [
    *(
        Trial(
            mjlab("mj_spring.onnx"),
            "so that some joints are not driven, and the file does not say which",
            mjlab(
                "mj_spring.onnx",
                f"--set action.terms='[{{term: joint_position, joints: [hip, knee], scale: {scale}, "
                "offset: default}]'",
            ),
        )
        for scale in ("0.5", "{hip: 0.1, knee: 0.2}")
    ),
    Trial(
        mjlab("mj_clip.onnx"),
        "give the bounds that hold with --set observation.terms.{}.clip='[LOW, HIGH]'",
        mjlab("mj_clip.onnx", "--set observation.terms.joint_vel.clip='[-9, 5]'"),
    ),
    Trial(
        mjlab("mj_scale.onnx"),
        "give the factors with --set observation.terms.{}.scale=NUMBER",
        mjlab("mj_scale.onnx", "--set observation.terms.joint_vel.scale=0.0004"),
    ),
    Note(mjlab(), "not stated; a task with --layout {}"),
    Note(mjlab(), "{}; --layout {}: {}"),
    Note(mjlab("mj_history.onnx"), "--layout {}"),
    Trial(mjlab(), "{}: the metadata is rounded to {} decimals", mjlab(precise="precise.yaml")),
    Trial(
        mjlab(gains_order="motor"),
        "--gains-order motor: the metadata of {} does not name its motors",
        mjlab(precise="precise.yaml"),
    ),
    Trial(mjlab(), LEFT_OUT, mjlab(gains_order="joint")),
    Trial(mjlab(), LEFT_OUT, mjlab(precise="precise.yaml")),
    Trial(mjlab(layout=""), "--layout {} or {}, the task whose terms these are", mjlab()),
    Trial(
        mjlab(layout=""),
        "--layout {} or {}, the task whose terms these are",
        mjlab(layout="beyondmimic"),
        "reads 15 numbers, the contract describes 16",
    ),
    Trial(mjlab("mj_scan.onnx"), NOT_IN_LAYOUT, mjlab("mj_scan.onnx", "--size height_scan=187")),
    Trial(
        mjlab("mj_motion.onnx", "--set motion.anchor=pelvis --set motion.chain=[]"),
        NOT_IN_LAYOUT,
        mjlab("mj_motion.onnx", "--set motion.anchor=pelvis --set motion.chain=[]", layout="beyondmimic"),
    ),
    Trial(
        mjlab("mj_scan.onnx", "--size height_scan=187 --size heigth_scan=187"),
        "--size {}: {} has no term '{}'{}",
        mjlab("mj_scan.onnx", "--size height_scan=187"),
    ),
    Trial(
        mjlab("mj_scan.onnx", "--size height_scan=187 --size base_ang_vel=3"),
        "--size {}: the layout has that term, a {}",
        mjlab("mj_scan.onnx", "--size height_scan=187"),
    ),
    Trial(
        mjlab("mj_delay.onnx"),
        "If you know what it does, state the whole {} yourself: --set {}.terms=",
        mjlab("mj_delay.onnx", "--set observation.terms='[{term: external, name: all, size: 15}]'")
        + " --set base.floating=true",
    ),
    Trial(
        mjlab("mj_offset.onnx"),
        "If you know what it does, state the whole {} yourself: --set {}.terms=",
        mjlab("mj_offset.onnx", WHOLE),
    ),
]

LEROBOT = [
    Trial(
        lerobot(more=DEFAULTS),
        "--set 'joints.*.unit=deg' and, for a gripper, --set joints.{}.unit=percent",
        lerobot(more=ARM),
    ),
    Trial(
        lerobot(more=UNITS),
        "--set 'joints.*.default=0' or, joint by joint, the pose that demonstrations began in",
        lerobot(more=ARM),
    ),
    Trial(lerobot(more=ARM, control_frequency=""), RATE, lerobot(more=ARM)),
    Trial(lerobot(more=ARM, control_frequency=""), RATE, lerobot("config.json info.json", ARM, control_frequency="")),
    Trial(lerobot(more=ARM, control_frequency=""), "it follows from --control-frequency", lerobot(more=ARM)),
    Trial(
        lerobot("config.json info.json", ARM, control_frequency="50"),
        "is {}, --control-frequency says {}: a policy runs at its data's rate",
        lerobot("config.json info.json", ARM),
    ),
    Trial(
        lerobot("config.json info_odd.json", ARM, names=""),
        "is {}, expected one list of different names; give the order with --names FILE",
        lerobot("config.json info_odd.json", ARM),
    ),
    Trial(
        lerobot(more=ARM, names=""),
        "--names FILE, a YAML mapping with joint_names in the order of observation.state",
        lerobot(more=ARM),
    ),
    Trial(
        lerobot(more=ARM, names=""),
        "or the data set's meta/info.json as a second SOURCE",
        lerobot("config.json info.json", ARM, names=""),
    ),
    Trial(
        lerobot("config.json info.json", ARM, names="lift.yaml"),
        "write that one, or leave out --names",
        lerobot("config.json info.json", ARM, names=""),
    ),
    Trial(
        lerobot("config.json info.json", ARM, names="lift.yaml"),
        "write that one, or leave out --names",
        lerobot("config.json info.json", ARM, names="pan.yaml"),
    ),
]

MANISKILL = [
    Trial(
        "contract import --from maniskill_env --out new",
        "--from maniskill_env needs --env ID, the environment's registered name",
        "contract import --from maniskill_env --env PolicyPortSO100Reach-v1 --out new",
        "needs --control-mode",
    ),
    Trial(
        "contract import --env PolicyPortSO100Reach --out new",
        "--env {}: ManiSkill has no such environment{}",
        ENV,
        "needs --control-mode",
    ),
    Trial(
        ENV,
        "--env {} needs --control-mode, the one the policy was trained with: {}",
        f"{ENV} --control-mode pd_joint_target_delta_pos",
    ),
    Trial(
        f"{ENV} --control-mode pd_joint",
        "--env {} --control-mode {} in observation mode {}: can't be built: {}",
        f"{ENV} --control-mode pd_joint_target_delta_pos",
    ),
    Trial(
        ENV,
        "--env {} needs ManiSkill ({} is missing): pip install 'policy-port[sim]'",
        ENV,
        "needs --control-mode",
        without("mani_skill"),
    ),
]

ISAAC = [
    Trial(
        isaac("io_groups.yaml", COMMAND),
        "{}: has the groups {}; choose the actor's with --group",
        isaac("io_groups.yaml", COMMAND, group="actor"),
    ),
    Trial(isaac(), "give params/env.yaml, or --set observation.terms.N.term=velocity_command", isaac(more=COMMAND)),
    Trial(
        isaac(actuation=""),
        "give params/env.yaml, or --set observation.terms.N.term=velocity_command",
        isaac("run/io_descriptors/IO_descriptors.yaml", actuation=""),
        "--size height_scan=N",
    ),
    Trial(
        isaac("run/io_descriptors/IO_descriptors.yaml"),
        "--size {}=N",
        isaac("run/io_descriptors/IO_descriptors.yaml", size="height_scan=187"),
    ),
    Trial(
        isaac("run/io_descriptors/IO_descriptors.yaml", size="height_scn=187"),
        "--size {}: env.yaml has {}{}",
        isaac("run/io_descriptors/IO_descriptors.yaml", size="height_scan=187"),
    ),
    Note(
        isaac("run/io_descriptors/IO_descriptors.yaml", size="height_scan=187"),
        "--size {}; its place and history are env.yaml's",
    ),
    Trial(isaac("io_ema.yaml", COMMAND), OWN_ACTION, isaac("io_ema.yaml", f"{COMMAND} {WHOLE}")),
]

KINDS = [
    Trial(
        newton(more="--from mine"),
        "; {} is read with --from {}.",
        newton(more="--from newton_assets"),
    ),
    Trial(newton(more="--from rl_sar"), "{}: {} It is read with --from {}", newton(more="--from newton_assets")),
    Trial(newton("both.yaml"), "{}: could be {}; say which with --from", newton("both.yaml", "--from newton_assets")),
    Trial(
        "contract import --env PolicyPortSO100Reach --from rl_sar --out new",
        "--from maniskill_env",
        "contract import --env PolicyPortSO100Reach --from maniskill_env --out new",
        "ManiSkill has no such environment",
    ),
    Trial(
        "contract import --out new",
        "a ManiSkill environment with --env",
        "contract import --env PolicyPortSO100Reach --out new",
        "ManiSkill has no such environment",
    ),
    Trial(
        newton(),
        "the width was not held against the network; do so with --policy FILE or `contract check`",
        newton(policy="reads_24.onnx"),
    ),
    Trial(
        newton(),
        "the width was not held against the network; do so with --policy FILE or `contract check`",
        "contract check contract_24.yaml --policy reads_24.onnx",
    ),
    Trial(
        "contract import toy/port/policy.onnx --robot toy --layout mjlab_velocity --out new",
        "{}: holds a whole contract, to which {} add nothing; leave them out",
        "contract import toy/port/policy.onnx --out new",
    ),
]

TRIALS: list[Trial | Note] = [*GAPS, *NEWTON, *UNITREE, *MJLAB, *LEROBOT, *MANISKILL, *ISAAC, *KINDS]
