"""What one servo does: memory, goals, motion and protections, on a clock that the test turns."""

from __future__ import annotations

import pytest

from policy_port.robots.emulator.fault_kinds import KINDS, FaultKind
from policy_port.robots.emulator.registers import CURRENT, HEAT, OVERLOAD, SENSOR, VOLTAGE
from tests.robots.emulator.bench import ACTION, JOINTS, PING, READ, REG_WRITE, SYNC_READ, SYNC_WRITE, WRITE, Bench

LIFT = "shoulder_lift"
PAN = "shoulder_pan"


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_sync_read_is_answered_in_the_order_asked(bench: Bench) -> None:
    """Each servo that is named answers once, in the order of the names; others are silent."""
    answers = bench.send(0xFE, SYNC_READ, 56, 2, 4, 1, 9, 6)
    assert [answer[2] for answer in answers] == [4, 1, 6]


def test_only_the_addressed_servo_answers(bench: Bench) -> None:
    """A ping is answered by its servo alone, one to all by all, one to nobody by nobody."""
    assert bench.send(3, PING) == [bytes.fromhex("ff ff 03 02 00 fa")]
    assert [answer[2] for answer in bench.send(0xFE, PING)] == [1, 2, 3, 4, 5, 6]
    assert bench.send(9, PING) == []


def test_writes_to_all_are_obeyed_and_not_answered(bench: Bench) -> None:
    """Broadcast and synchronous writes reach their servos without an answer."""
    assert bench.send(0xFE, WRITE, 40, 1) == []
    assert all(servo.registers.get("Torque_Enable") == 1 for servo in bench.parts.servos)
    assert bench.send(0xFE, SYNC_WRITE, 42, 2, 1, 0x00, 0x08, 6, 0xE8, 0x07) == []
    assert bench.read(PAN, "Goal_Position") == 2048
    assert bench.read("gripper", "Goal_Position") == 2024
    assert bench.send(0xFE, READ, 56, 2) == []


def test_a_registered_write_waits_for_its_action(bench: Bench) -> None:
    """REG_WRITE is answered and changes nothing; ACTION carries it out, once."""
    assert len(bench.send(1, REG_WRITE, 42, 0x10, 0x08)) == 1
    assert not bench.bus.log
    bench.send(0xFE, ACTION)
    bench.send(0xFE, ACTION)
    assert [(write.register, write.value) for write in bench.bus.log] == [("Goal_Position", 0x0810)]


@pytest.mark.parametrize(
    ("fault", "register", "value", "status"),
    [
        ("overheat:gripper:85", "Present_Temperature", 85, HEAT),
        ("undervoltage:gripper:3.5", "Present_Voltage", 35, VOLTAGE),
        ("overload:gripper", "Status", OVERLOAD, OVERLOAD),
    ],
)
def test_the_first_answer_after_a_fault_knows_of_it(
    bench: Bench, fault: str, register: str, value: int, status: int
) -> None:
    """Sensors tell before the mechanics have moved on: a reading must not be older than the fault."""
    bench.inject(fault)
    assert bench.read("gripper", register) == value
    assert bench.read("gripper", "Status") == status
    bench.clear()
    assert bench.read("gripper", "Status") == 0


def test_unknown_instructions_are_ignored(bench: Bench) -> None:
    """Instructions that the servo does not have, or with too few parameters, are not answered."""
    assert bench.send(1, 0x55, 1, 2, 3) == []
    assert bench.send(1, READ) == []
    assert bench.send(0xFE, SYNC_WRITE, 42) == []


def test_a_quiet_servo_answers_only_reads_and_pings(bench: Bench) -> None:
    """With Response_Status_Level 0 a write is obeyed without an answer."""
    bench.write(PAN, "Response_Status_Level", 0)
    assert bench.write(PAN, "Torque_Enable", 1) == []
    assert bench.read(PAN, "Torque_Enable") == 1
    assert len(bench.send(1, PING)) == 1


def test_stored_registers_survive_a_power_loss_only_when_unlocked(bench: Bench) -> None:
    """Written with Lock closed, a limit holds until power is lost; written with Lock open, for ever."""
    bench.write(PAN, "Max_Position_Limit", 3000)
    assert bench.read(PAN, "Max_Position_Limit") == 3000
    bench.inject("brownout")
    assert bench.read(PAN, "Max_Position_Limit") == 3355
    bench.write(PAN, "Lock", 0)
    bench.write(PAN, "Max_Position_Limit", 3000)
    bench.inject("brownout")
    assert bench.read(PAN, "Max_Position_Limit") == 3000
    assert bench.read(PAN, "Lock") == 1


def test_what_is_read_only_stays(bench: Bench) -> None:
    """A write over a read-only register leaves it, and still reaches its neighbours."""
    position = bench.read(PAN, "Present_Position")
    bench.send(1, WRITE, 54, 7, 0, 9, 9)
    assert bench.read(PAN, "Lock") == 0
    assert bench.read(PAN, "Present_Position") == position
    bench.send(1, WRITE, 3, 1, 1)
    assert bench.read(PAN, "Model_Number") == 777


def test_goals_are_clamped_by_the_limit_registers(bench: Bench) -> None:
    """The joint goes to the limit and no further; the log shows what was asked."""
    bench.write(PAN, "Torque_Enable", 1)
    bench.write(PAN, "Goal_Position", 4000)
    bench.pass_time(2.0)
    assert abs(bench.read(PAN, "Present_Position") - 3355) <= 3
    assert bench.bus.log[-1].value == 4000
    assert bench.read(PAN, "Goal_Position_2") == 3355


def test_goal_velocity_bounds_the_speed(bench: Bench) -> None:
    """With Goal_Velocity 200 a joint takes 1 s for 200 ticks; the velocity register says so on the way."""
    start = bench.read(PAN, "Present_Position")
    bench.write(PAN, "Torque_Enable", 1)
    bench.write(PAN, "Goal_Velocity", 200)
    bench.write(PAN, "Goal_Position", start + 400)
    bench.pass_time(1.0)
    assert abs(bench.read(PAN, "Present_Velocity") - 200) < 10
    assert bench.read(PAN, "Moving") == 1
    assert 150 < bench.read(PAN, "Present_Position") - start < 200
    bench.pass_time(2.0)
    assert bench.read(PAN, "Moving") == 0


def test_acceleration_bounds_the_start(bench: Bench) -> None:
    """A low acceleration covers a t^2 / 2, a high one more."""
    travelled = {}
    for acceleration in (5, 254):
        bench = Bench()
        start = bench.read(PAN, "Present_Position")
        bench.write(PAN, "Torque_Enable", 1)
        bench.write(PAN, "Acceleration", acceleration)
        bench.write(PAN, "Goal_Position", start + 1000)
        bench.pass_time(0.5)
        travelled[acceleration] = bench.read(PAN, "Present_Position") - start
    assert 25 < travelled[5] < 63
    assert travelled[254] > 900


def test_motion_begins_after_a_delay_and_lags(bench: Bench) -> None:
    """Nothing moves for the first 20 ms; after that the joint approaches its goal without passing it by."""
    start = bench.read(PAN, "Present_Position")
    bench.write(PAN, "Torque_Enable", 1)
    bench.write(PAN, "Goal_Position", start + 100)
    bench.pass_time(0.016)
    assert bench.read(PAN, "Present_Position") == start
    positions = []
    for _ in range(100):
        bench.pass_time(0.008)
        positions.append(bench.read(PAN, "Present_Position") - start)
    assert positions == sorted(positions)
    assert 97 <= positions[-1] <= 100


def test_gravity_bends_a_joint_less_with_a_higher_gain(bench: Bench) -> None:
    """An outstretched shoulder hangs below its goal by about 28 ticks at LeRobot's gain, and half at twice it."""
    sag = {}
    for gain in (16, 32):
        bench = Bench(pose={LIFT: 0.0})
        start = bench.read(LIFT, "Present_Position")
        bench.write(LIFT, "P_Coefficient", gain)
        bench.write(LIFT, "Torque_Enable", 1)
        bench.pass_time(2.0)
        sag[gain] = bench.read(LIFT, "Present_Position") - start
    assert 22 <= sag[16] <= 30
    assert 9 <= sag[32] <= 15


def test_without_torque_a_joint_falls(bench: Bench) -> None:
    """The outstretched shoulder sinks as soon as its torque is off, and holds while it is on."""
    bench = Bench(pose={LIFT: 0.3})
    bench.write(LIFT, "Torque_Enable", 1)
    bench.pass_time(1.0)
    held = bench.read(LIFT, "Present_Position")
    bench.pass_time(1.0)
    assert abs(bench.read(LIFT, "Present_Position") - held) <= 1
    bench.write(LIFT, "Torque_Enable", 0)
    bench.pass_time(1.0)
    assert bench.read(LIFT, "Present_Position") - held > 200


def test_torque_back_on_goes_to_the_old_goal(bench: Bench) -> None:
    """A joint that was moved by hand meanwhile jumps to the goal that it was last given."""
    start = bench.read(PAN, "Present_Position")
    bench.write(PAN, "Torque_Enable", 1)
    bench.write(PAN, "Goal_Position", start)
    bench.pass_time(0.5)
    bench.write(PAN, "Torque_Enable", 0)
    bench.inject("push:shoulder_pan:300")
    bench.pass_time(0.1)
    assert bench.read(PAN, "Present_Position") == start + 300
    bench.write(PAN, "Torque_Enable", 1)
    bench.pass_time(1.0)
    assert abs(bench.read(PAN, "Present_Position") - start) <= 4


def test_torque_on_without_a_goal_holds(bench: Bench) -> None:
    """A servo that was given no goal since power-up holds where it is when torque is switched on."""
    bench.inject("push:shoulder_pan:300")
    bench.pass_time(0.1)
    moved = bench.read(PAN, "Present_Position")
    bench.write(PAN, "Torque_Enable", 1)
    bench.pass_time(0.5)
    assert abs(bench.read(PAN, "Present_Position") - moved) <= 3


def test_a_reading_beyond_the_turn_wraps(bench: Bench) -> None:
    """Readings stay in 0..4095; with the multi-turn bit of Phase they count on, until power is lost."""
    roll = "wrist_roll"
    start = bench.read(roll, "Present_Position")
    bench.inject("push:wrist_roll:2047")
    bench.inject("push:wrist_roll:500")
    bench.pass_time(0.02)
    assert bench.read(roll, "Present_Position") == (start + 2547) % 4096
    bench.write(roll, "Lock", 0)
    bench.write(roll, "Phase", 12 | 0x10)
    assert bench.read(roll, "Present_Position") == start + 2547
    bench.inject("reboot:wrist_roll")
    assert bench.read(roll, "Present_Position") < 4096


def test_the_homing_offset_moves_the_reading(bench: Bench) -> None:
    """Position = sensor - offset, as LeRobot's calibration expects, and 128 in Torque_Enable makes here 2048."""
    before = bench.read(PAN, "Present_Position")
    bench.write(PAN, "Homing_Offset", -220)
    assert bench.read(PAN, "Present_Position") == before + 100
    bench.write(PAN, "Torque_Enable", 128)
    assert bench.read(PAN, "Present_Position") == 2048
    assert bench.read(PAN, "Torque_Enable") == 0


def test_an_id_can_be_changed(bench: Bench) -> None:
    """A servo answers to its new id and not to the old one."""
    bench.write(PAN, "Lock", 0)
    bench.send(1, WRITE, 5, 12)
    assert bench.send(1, PING) == []
    assert len(bench.send(12, PING)) == 1


def test_a_blocked_joint_trips_the_overload_protection(bench: Bench) -> None:
    """After 2 s against a block the status says overload and the load falls; torque off and on ends it."""
    bench.write(PAN, "Torque_Enable", 1)
    bench.inject("stuck:shoulder_pan")
    bench.write(PAN, "Goal_Position", bench.read(PAN, "Present_Position") + 400)
    bench.pass_time(1.5)
    assert bench.read(PAN, "Present_Load") == 1000
    assert bench.read(PAN, "Status") == 0
    bench.pass_time(1.5)
    assert bench.read(PAN, "Status") == OVERLOAD
    assert bench.read(PAN, "Present_Load") == 200
    bench.clear()
    bench.write(PAN, "Torque_Enable", 0)
    bench.pass_time(0.1)
    assert bench.read(PAN, "Status") == 0


@pytest.mark.parametrize(
    ("fault", "bit"),
    [
        ("overload:shoulder_lift", OVERLOAD),
        ("overheat:shoulder_lift", HEAT),
        ("overcurrent:shoulder_lift", CURRENT),
        ("undervoltage:shoulder_lift", VOLTAGE),
        ("overvoltage:shoulder_lift", VOLTAGE),
        ("sensor:shoulder_lift", SENSOR),
    ],
)
def test_a_protection_shows_in_every_answer_of_its_servo(bench: Bench, fault: str, bit: int) -> None:
    """The status byte of the struck servo's answers has the bit, the others' have none, and clearing clears it."""
    bench.inject(fault)
    bench.pass_time(0.1)
    statuses = [answer[4] for answer in bench.send(0xFE, SYNC_READ, 56, 2, 1, 2, 3)]
    assert statuses == [0, bit, 0]
    assert bench.read(LIFT, "Status") == bit
    bench.clear()
    bench.pass_time(0.1)
    assert bench.read(LIFT, "Status") == 0


@pytest.mark.parametrize("fault", ["overheat", "overcurrent", "torque-loss", "absent", "overload"])
def test_faults_that_take_the_torque_let_the_arm_sink(fault: str) -> None:
    """An outstretched shoulder whose motor gives up falls, though Torque_Enable still says 1."""
    bench = Bench(pose={LIFT: 0.0})
    bench.write(LIFT, "Torque_Enable", 1)
    bench.pass_time(1.0)
    before = bench.servo(LIFT).shaft.position
    bench.inject(fault)
    bench.pass_time(1.0)
    assert bench.servo(LIFT).shaft.position - before > 150
    assert bench.servo(LIFT).registers.get("Torque_Enable") == 1


def test_a_brownout_leaves_torque_off_and_memory_as_after_power_up(bench: Bench) -> None:
    """Torque, goals, acceleration and lock are lost; calibration and id stay; nothing says what happened."""
    for name in JOINTS:
        bench.write(name, "Torque_Enable", 1)
        bench.write(name, "Acceleration", 254)
        bench.write(name, "Lock", 0)
    bench.inject("brownout")
    for name in JOINTS:
        assert bench.read(name, "Torque_Enable") == 0
        assert bench.read(name, "Acceleration") == 0
        assert bench.read(name, "Lock") == 1
        assert bench.read(name, "Status") == 0
    assert bench.read(PAN, "Homing_Offset") == -120


def test_a_frozen_sensor_reads_on_what_it_read(bench: Bench) -> None:
    """The reading stands still while the joint runs away, since its controller sees no progress."""
    before = bench.read(PAN, "Present_Position")
    bench.inject("frozen:shoulder_pan")
    bench.write(PAN, "Torque_Enable", 1)
    bench.write(PAN, "Goal_Position", before + 100)
    bench.pass_time(1.0)
    assert bench.read(PAN, "Present_Position") == before
    assert bench.servo(PAN).shaft.position > before - 120 + 300


def test_a_slipped_horn_moves_the_joint_and_not_the_reading(bench: Bench) -> None:
    """The reading says the same as before, the joint is 160 ticks elsewhere."""
    bench.write(PAN, "Torque_Enable", 1)
    bench.pass_time(0.1)
    before, shaft = bench.read(PAN, "Present_Position"), bench.servo(PAN).shaft.position
    bench.inject("slip:shoulder_pan")
    bench.pass_time(0.5)
    assert abs(bench.read(PAN, "Present_Position") - before) <= 2
    assert abs(bench.servo(PAN).shaft.position - (shaft - 160)) <= 2


@pytest.mark.parametrize("fault", ["weak:shoulder_pan:0.2", "slow:shoulder_pan:0.2"])
def test_a_weak_or_slow_joint_arrives_late(fault: str) -> None:
    """With a fifth of torque or speed, a move takes more than twice as long as it should."""
    reached = []
    for spec in (None, fault):
        bench = Bench()
        if spec is not None:
            bench.inject(spec)
        start = bench.read(PAN, "Present_Position")
        bench.write(PAN, "Torque_Enable", 1)
        bench.write(PAN, "Goal_Position", start + 1000)
        bench.pass_time(0.6)
        reached.append(bench.read(PAN, "Present_Position") - start)
    assert reached[1] < 0.5 * reached[0]


def test_work_warms_a_motor(bench: Bench) -> None:
    """A motor that strains gets warmer, one that rests does not."""
    bench.write(PAN, "Overload_Torque", 100)
    bench.write(PAN, "Protection_Time", 255)
    bench.inject("stuck:shoulder_pan")
    bench.write(PAN, "Torque_Enable", 1)
    bench.write(PAN, "Goal_Position", 2900)
    bench.pass_time(20.0)
    assert bench.read(PAN, "Present_Temperature") >= 32
    assert bench.read("gripper", "Present_Temperature") == 31


def transcript(fault: str | None) -> list[list[tuple[float, bytes]]]:
    """Everything that a host hears while it moves an arm, half of the time under a fault."""
    bench = Bench(pose={LIFT: 0.0})
    heard = [bench.send_timed(0xFE, SYNC_WRITE, 40, 1, 1, 1, 2, 1, 3, 1, 4, 1, 5, 1, 6, 1)]
    bench.pass_time(0.2)
    if fault is not None:
        bench.inject(fault)
    for step in range(20):
        for servo in bench.parts.servos:
            goal = servo.present + (60 if step < 10 else -60)
            heard.append(bench.send_timed(servo.servo_id, WRITE, 42, goal & 0xFF, goal >> 8))
        bench.pass_time(0.04)
        # Position to current, of all six.
        heard.append(bench.send_timed(0xFE, SYNC_READ, 56, 15, 1, 2, 3, 4, 5, 6))
    return heard


ELSEWHERE = {"babble", "echo", "unplug", *(kind.name for kind in KINDS if kind.target == "camera")}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name not in ELSEWHERE], ids=lambda kind: kind.name)
def test_no_kind_of_fault_is_without_effect(kind: FaultKind) -> None:
    """Every kind changes what the host hears, struck at one joint or at all of them."""
    healthy = transcript(None)
    assert transcript(None) == healthy
    target = f":{LIFT}" if kind.target == "joint" else ""
    assert transcript(f"{kind.name}{target}") != healthy
    if not kind.one_joint:
        assert transcript(kind.name) != healthy
