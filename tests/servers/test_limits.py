"""The limits of threats 6 that concern SMTP: each is a setting with its value; what was refused is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from securegw import config
from securegw.counters import exposition
from securegw.flow.claims import POISON
from securegw.gateway import Settings
from securegw.mail.message import FIELD_LIMIT, HEADER_LIMIT
from securegw.servers.connections import Doorkeeper, Room
from securegw.servers.smtp_connection import STRESS
from securegw.servers.smtp_conversation import STRESS_ERRORS, STRESS_JUNK
from tests.support.smtp_door import SIZE, Door
from tests.support.world import SETTINGS

KB, MB, GB = 1 << 10, 1 << 20, 1 << 30
MINUTE, DAY = 60.0, 86_400.0
VALUES: dict[str, Any] = {
    "intake.size_limit": 50 * MB,
    "intake.recipients_limit": 1000,
    "intake.hops_limit": 50,
    "intake.free_space": GB,
    "intake.queue_limit": 100_000,
    "smtp.connections": 500,
    "smtp.connections_per_address": 30,
    "smtp.connections_per_minute": 300,
    "smtp.memory": 128 * MB,
    "smtp.errors": 10,
    "smtp.junk": 50,
    "smtp.command_time": MINUTE,
    "smtp.data_time": 2 * MINUTE,
    "smtp.session_time": 30 * MINUTE,
    "delivery.life": 5 * DAY,
    "delivery.first_retry": MINUTE,
    "workers.seconds": 20,
}


@pytest.mark.parametrize("name", VALUES)
def test_a_limit_is_a_setting_with_the_value_of_threats_6(name: str) -> None:
    settings = config.read(Settings, SETTINGS, str(Path("/securegw.toml")))
    section, _, field = name.partition(".")
    value = getattr(getattr(settings, section), field)
    # A megabyte of the settings is a million bytes.
    assert value == VALUES[name] or (value >= MB // 2 and round(value / VALUES[name], 1) in (0.9, 1.0))


def test_a_mail_of_a_hundred_and_fifty_megabytes_may_be_allowed() -> None:
    text = SETTINGS + '[intake]\nsize_limit = "150 MB"\n'
    assert config.read(Settings, text, "/securegw.toml").intake.size_limit >= 143 * MB


def test_limits_that_are_no_settings() -> None:
    assert (HEADER_LIMIT, FIELD_LIMIT, POISON) == (256 * KB, 2000, 3)
    assert (STRESS, STRESS_ERRORS, STRESS_JUNK) == (6, 1, 5)  # 60 s become 10, 120 become 20, 30 minutes become 5


def counted(reason: str) -> float:
    line = f'securegw_smtp_refusals_total{{reason="{reason}"}} '
    return next((float(each[len(line) :]) for each in exposition().decode().splitlines() if each.startswith(line)), 0.0)


@pytest.mark.parametrize(
    ("says", "code", "reason"),
    [
        (b"MAIL FROM:<a@a.test> SIZE=%d\r\n" % (SIZE + 1), b"552", "too-big"),
        (b"MAIL FROM:<refused@a.test>\r\n", b"550", "unknown-sender"),
        (b"MAIL FROM:<a@a.test>\r\nRCPT TO:<gone@b.test>\r\n", b"550", "unknown-recipient"),
        (b"MAIL FROM:<a@a.test>\r\nRCPT TO:<away@b.test>\r\n", b"554", "relay-denied"),
        (b"NOOP\r\n" * 60, b"421", "junk"),
        (b"WHAT\r\n" + b"WHAT NOW\r\n" * 20, b"", "too-many-errors"),
    ],
)
def test_a_refusal_is_counted_by_its_reason(says: bytes, code: bytes, reason: str) -> None:
    door, before = Door(), counted(reason)
    door.send(b"EHLO client.test\r\n")
    door.send(says)
    assert code in door.received()
    assert counted(reason) == before + 1


def test_stress_is_a_gauge() -> None:
    keeper = Doorkeeper(Room(total=5), lambda: 0.0, "crowded")
    for number in range(5):
        assert f'securegw_stress{{door="crowded"}} {float(keeper.stressed)}' in exposition().decode()
        assert keeper.enter(f"192.0.2.{number}") == ""
    assert 'securegw_stress{door="crowded"} 1.0' in exposition().decode()
    assert 'securegw_open_connections{door="crowded"} 5.0' in exposition().decode()
    for number in range(5):  # other tests of this process read the sum of all doors
        keeper.leave(f"192.0.2.{number}")
    assert 'securegw_stress{door="crowded"} 0.0' in exposition().decode()
