"""A cloud in front of us, whose servers are everybody's: a secret field tells who is inside, and nobody learns it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import attrs
import pytest

from securegw.flow.connector import BadConnector, Connector, read_connector
from securegw.mail.errors import RelayDenied
from securegw.store import desk
from tests.support.world import INSIDE, OUTSIDE, World

ANN, BOB, CAT = "ann@inside.test", "bob@outside.test", "cat@inside.test"
SECRET = "8f14e45fceea167a5a36dedd4bea2543"
CLOUD = attrs.evolve(OUTSIDE, address="198.51.100.8")
NETWORKS = (ip_network("198.51.100.0/24"),)
FIELD = f"X-Tenant: {SECRET}\r\n"


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    world.house.intake.connector = Connector(NETWORKS, "X-Tenant", SECRET.encode())
    yield world
    world.close()


def written(fields: str = FIELD, subject: str = "hello") -> bytes:
    return f"From: {ANN}\r\nTo: {BOB}\r\n{fields}Subject: {subject}\r\n\r\nbody\r\n".encode()


@pytest.mark.parametrize("fields", [FIELD, f"x-tenant:\t{SECRET} \r\n", f"X-Tenant:\r\n {SECRET}\r\n"])
def test_who_shows_the_field_is_inside_and_the_field_goes_nowhere(world: World, fields: str) -> None:
    world.hand_in(ANN, [BOB], written(fields, "[confidential] hello"), CLOUD)
    [mail] = world.sent_to(BOB)
    assert b"secure-email.html" in mail.raw
    world.hand_in(ANN, [BOB], written(fields), CLOUD)
    [_, mail] = world.sent_to(BOB)
    assert SECRET.encode() not in mail.raw and mail.message.count("X-Tenant") == 0
    assert mail.raw.endswith(written("").partition(b"Subject")[2])


@pytest.mark.parametrize(
    "fields",
    [
        "",
        "X-Tenant: \r\n",
        f"X-Tenant: {SECRET}x\r\n",
        f"X-Tenant: {SECRET[:-1]}\r\n",
        f"X-Tenant: {SECRET.upper()}\r\n",
        FIELD + FIELD,  # a rule that another tenant's mail has already been through
        f"X-Tenant: other\r\n{FIELD}",
        f"X-Tenant-Id: {SECRET}\r\n",
        f"Subject: {SECRET}\r\n",
    ],
)
def test_another_tenant_of_the_cloud_is_a_stranger(world: World, fields: str) -> None:
    with pytest.raises(RelayDenied):
        world.hand_in(ANN, [BOB], written(fields), CLOUD)
    with pytest.raises(RelayDenied):
        world.hand_in(ANN, [BOB, CAT], written(fields), CLOUD)
    assert world.read(desk.list_items) == []
    world.hand_in(ANN, [CAT], written(fields, "[confidential] [sign] forged"), CLOUD)
    [mail] = world.sent_to(CAT)
    assert world.rows("user") == 0 and mail.message.count("X-Tenant") == 0


def test_the_field_says_nothing_from_elsewhere_and_is_taken_out_too(world: World) -> None:
    with pytest.raises(RelayDenied):
        world.hand_in(ANN, [BOB], written(), OUTSIDE)
    world.hand_in(BOB, [CAT], written(), OUTSIDE)
    [mail] = world.sent_to(CAT)
    assert SECRET.encode() not in mail.raw and world.rows("user") == 0
    world.hand_in(ANN, [BOB], written(), INSIDE)  # our own servers need none
    assert SECRET.encode() not in world.sent_to(BOB)[0].raw


def test_without_a_connector_nobody_is_let_in_for_it(world: World) -> None:
    world.house.intake.connector = None
    with pytest.raises(RelayDenied):
        world.hand_in(ANN, [BOB], written(), CLOUD)


def test_the_secret_shows_in_no_representation(world: World) -> None:
    assert SECRET not in repr(world.house.intake.connector)


def test_the_file(tmp_path: Path) -> None:
    file = tmp_path / "connector"
    file.write_text(FIELD)
    file.chmod(0o600)
    assert read_connector(NETWORKS, file) == Connector(NETWORKS, "X-Tenant", SECRET.encode())
    assert read_connector((), None) is None


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (FIELD, 0o640, "0600"),
        ("", 0o600, "one line"),
        ("X-Tenant", 0o600, "one line"),
        ("X-Tenant: short\n", 0o600, "one line"),
        (f"{FIELD}X-Other: {SECRET}\n", 0o600, "one line"),
        (f"X Tenant: {SECRET}\n", 0o600, "one line"),
        (f"X-*: {SECRET}\n", 0o600, "one line"),
        (f"X-Tenant: {SECRET} {SECRET}\n", 0o600, "one line"),
        ("X-Tenant: grün\n", 0o600, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str, mode: int, words: str) -> None:
    file = tmp_path / "connector"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(BadConnector) as caught:
        read_connector(NETWORKS, file)
    assert words in str(caught.value) and str(file) in str(caught.value) and SECRET not in str(caught.value)


@pytest.mark.parametrize(("networks", "file"), [(NETWORKS, None), ((), Path("/nowhere")), (NETWORKS, Path("/nowhere"))])
def test_half_a_connector_is_none(networks: tuple[object, ...], file: Path | None) -> None:
    with pytest.raises(BadConnector):
        read_connector(networks, file)  # type: ignore[arg-type]
