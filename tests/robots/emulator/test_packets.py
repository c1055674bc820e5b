"""Feetech's packets, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_port.robots.emulator.packets import Decoder, Packet, frame
from policy_port.robots.emulator.registers import BY_NAME, TABLE

PING_1 = bytes.fromhex("ff ff 01 02 01 fb")
READ_POSITION_1 = bytes.fromhex("ff ff 01 04 02 38 02 be")


def test_a_ping_is_read_byte_for_byte() -> None:
    """The example of Feetech's manual: a ping of servo 1."""
    assert Decoder().feed(PING_1) == [Packet(1, 1, b"")]


def test_an_answer_is_framed_byte_for_byte() -> None:
    """The manual's example: servo 1 answers a read of its position, which is 0x0518, least byte first."""
    assert frame(1, 0, b"\x18\x05") == bytes.fromhex("ff ff 01 04 00 18 05 dd")


def test_a_packet_may_come_in_any_pieces() -> None:
    """A packet cut anywhere is the same packet."""
    for cut in range(1, len(READ_POSITION_1)):
        decoder = Decoder()
        assert decoder.feed(READ_POSITION_1[:cut]) == []
        assert decoder.feed(READ_POSITION_1[cut:]) == [Packet(1, 2, b"\x38\x02")]


def test_a_wrong_checksum_is_ignored() -> None:
    """A packet whose checksum is off by anything is as if it had not come, and the next one is read."""
    for wrong in range(1, 256):
        decoder = Decoder()
        assert decoder.feed(PING_1[:-1] + bytes(((PING_1[-1] + wrong) % 256,)) + PING_1) == [Packet(1, 1, b"")]


def test_a_false_beginning_does_not_swallow_what_follows() -> None:
    """Noise that looks like the beginning of a long packet is given up once the line falls silent."""
    decoder = Decoder()
    assert decoder.feed(b"\xff\xff\x05\xf0" + PING_1) == []
    assert decoder.idle() == [Packet(1, 1, b"")]
    assert not decoder.pending


@settings(max_examples=200, deadline=None)
@given(noise=st.binary(max_size=600), cuts=st.lists(st.integers(1, 40), max_size=20))
def test_no_noise_breaks_the_decoder(noise: bytes, cuts: list[int]) -> None:
    """Whatever comes in whatever pieces, the next packet after a silence is read."""
    decoder, rest = Decoder(), noise
    for cut in cuts:
        decoder.feed(rest[:cut])
        rest = rest[cut:]
    decoder.feed(rest)
    decoder.idle()
    assert decoder.feed(PING_1) == [Packet(1, 1, b"")]


@given(servo_id=st.integers(0, 253), code=st.integers(0, 127), data=st.binary(max_size=250))
def test_what_is_framed_is_decoded(servo_id: int, code: int, data: bytes) -> None:
    """Framing and decoding are each other's inverse."""
    assert Decoder().feed(frame(servo_id, code, data)) == [Packet(servo_id, code, data)]


@pytest.mark.parametrize(
    ("register", "value", "data"),
    [
        ("Homing_Offset", -1000, "e8 0b"),
        ("Homing_Offset", 900, "84 03"),
        ("Present_Position", -1, "01 80"),
        ("Goal_Position", 2048, "00 08"),
        ("Present_Load", -240, "f0 04"),
        ("Present_Velocity", -3400, "48 8d"),
        ("Model_Number", 777, "09 03"),
    ],
)
def test_signs_are_a_bit_beside_the_magnitude(register: str, value: int, data: str) -> None:
    """Signed registers hold sign and magnitude, the sign in bit 10, 11 or 15."""
    entry = BY_NAME[register]
    assert entry.encode(value) == bytes.fromhex(data)
    assert entry.decode(bytes.fromhex(data)) == value


def test_the_table_is_lerobot_s() -> None:
    """Every register of LeRobot's table of the STS3215 is there, with its address, size and sign bit."""
    tables = pytest.importorskip("lerobot.motors.feetech.tables", reason="lerobot is not installed")
    theirs = tables.MODEL_CONTROL_TABLE["sts3215"]
    signs = tables.MODEL_ENCODING_TABLE["sts3215"]
    by_address = {entry.address: entry for entry in TABLE}
    for name, (address, size) in theirs.items():
        entry = by_address[address]
        assert entry.size == size, name
        if name in BY_NAME:
            assert entry.name == name
        # LeRobot reads the current without its sign.
        if name != "Present_Current" and name != "Goal_Position_2":
            assert entry.sign_bit == signs.get(name), name
