"""Archive mailboxes by command: the password is shown once, and no key is ever printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from securegw.crypto import passwords
from securegw.crypto.passwords import Cost
from securegw.mail.errors import WrongPassword
from securegw.store import events, mailboxes, people, sessions
from securegw.store.database import Database
from securegw.store.mailboxes import Deposit, Mailbox
from tests.commands.conftest import Run

BOX = "archive@inside.test"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("securegw.commands.mailboxes.Cost", lambda: Cost(64, 1, 1))


@pytest.fixture
def database(config: Path) -> Any:
    opened = Database(f"sqlite:///{config.parent}/securegw.db", inline=True)
    yield opened
    opened.close()


def create(run: Run, config: Path, *more: str) -> dict[str, Any]:
    ran = run("mailboxes", "create", "Archive@inside.test", *more, "--json", "--config", config)
    assert ran.code == 0, ran.err
    return dict(json.loads(ran.out))


def stored(database: Database) -> Mailbox:
    found = database.read(mailboxes.get, BOX).result()
    assert found is not None
    return found


def fill(database: Database, count: int) -> None:
    box = stored(database).id
    mails = [
        Deposit(id=f"{n:032x}", mailbox=box, size=100, key=b"k", parts=(b"p",), received=0.0) for n in range(count)
    ]
    database.write(mailboxes.deposit, mails).result()


def test_a_mailbox_is_made_with_a_password_that_is_kept_nowhere(run: Run, config: Path, database: Database) -> None:
    made = create(run, config, "--name", "Archive", "--description", "what the law wants", "--unpack")
    box = stored(database)
    assert made == {"id": box.id, "address": "Archive@inside.test", "done": "created", "password": made["password"]}
    assert len(passwords.unwrap(made["password"], box.wrapped)) == 96
    assert (box.name, box.description, box.unpack, box.active) == ("Archive", "what the law wants", True, True)
    for file in config.parent.iterdir():
        if file.is_file():
            assert made["password"].encode() not in file.read_bytes()


def test_the_password_is_shown_with_a_warning(run: Run, config: Path) -> None:
    ran = run("mailboxes", "create", BOX, "--config", config)
    lines = ran.out.splitlines()
    assert lines[0] == f"{BOX}: created" and lines[2].startswith("password: ") and "stored nowhere" in lines[3]
    shown = lines[2].removeprefix("password: ")
    for word in ("list", "show"):
        more = (BOX,) if word == "show" else ()
        assert shown not in run("mailboxes", word, *more, "--json", "--config", config).out


def test_the_list_and_one(run: Run, config: Path, database: Database) -> None:
    made = create(run, config)
    fill(database, 3)
    [row] = json.loads(run("mailboxes", "list", "--json", "--config", config).out)
    assert (row["id"], row["status"], row["mails"], row["size"]) == (made["id"], "active", 3, 300)
    assert not {"public", "wrapped", "private", "password"} & set(row)
    shown = json.loads(run("mailboxes", "show", made["id"], "--json", "--config", config).out)
    assert shown["address"] == "Archive@inside.test" and shown["open"] is False
    assert "what" not in run("mailboxes", "show", BOX, "--config", config).out


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("archive@outside.test", "outside.test: not a domain of this gateway"),
        ("ARCHIVE@inside.test", "archive@inside.test: is a mailbox already"),
        ("ann@inside.test", "ann@inside.test: is the address of a user"),
    ],
)
def test_an_address_that_cannot_be_a_mailbox(
    run: Run, config: Path, database: Database, address: str, words: str
) -> None:
    create(run, config)
    database.write(people.add_user, people.User("ann@inside.test")).result()
    ran = run("mailboxes", "create", address, "--config", config)
    assert ran.code == 1 and words in ran.err


def test_another_password_needs_the_old_one(run: Run, config: Path, database: Database, tmp_path: Path) -> None:
    made = create(run, config)
    before = stored(database)
    file = tmp_path / "password"
    file.write_text("wrong\n")
    wrong = run("mailboxes", "password", BOX, "--password-file", file, "--config", config)
    assert (wrong.code, wrong.err) == (1, "securegw: Archive@inside.test: that is not its password\n")
    assert run("mailboxes", "password", BOX, "--config", config).code == 1  # no terminal, no file
    file.write_text(f"{made['password']}\n")
    ran = run("mailboxes", "password", BOX, "--password-file", file, "--json", "--config", config)
    changed = json.loads(ran.out)
    after = stored(database)
    assert passwords.unwrap(changed["password"], after.wrapped) == passwords.unwrap(made["password"], before.wrapped)
    assert after.public == before.public
    with pytest.raises(WrongPassword):
        passwords.unwrap(made["password"], after.wrapped)


def test_only_a_suspended_mailbox_is_deleted(run: Run, config: Path, database: Database) -> None:
    create(run, config)
    fill(database, 450)  # more than one transaction takes
    refused = run("mailboxes", "delete", BOX, "--config", config)
    assert refused.code == 1 and "first: securegw mailboxes suspend" in refused.err
    assert run("mailboxes", "suspend", BOX, "--config", config).out == "Archive@inside.test: suspended\n"
    assert not stored(database).active
    assert run("mailboxes", "resume", BOX, "--config", config).code == 0
    assert stored(database).active
    run("mailboxes", "suspend", BOX, "--config", config)
    assert run("mailboxes", "delete", BOX, "--config", config).out == "Archive@inside.test: deleted\n"
    assert database.read(mailboxes.get, BOX).result() is None
    [event] = database.read(lambda conn: events.find(conn, kind="mailbox-deleted")).result()
    assert event.detail["mails"] == 450


def test_a_mailbox_that_is_being_fetched_is_not_deleted(run: Run, config: Path, database: Database) -> None:
    create(run, config)
    run("mailboxes", "suspend", BOX, "--config", config)
    session = database.write(sessions.open_session, "node", None, 60.0).result()
    assert database.write(mailboxes.open_lease, stored(database).id, "token", session).result()
    refused = run("mailboxes", "delete", BOX, "--config", config)
    assert refused.code == 1 and "somebody fetches its mail now" in refused.err
    assert json.loads(run("mailboxes", "show", BOX, "--json", "--config", config).out)["open"] is True


def test_what_was_done_is_told(run: Run, config: Path, database: Database, tmp_path: Path) -> None:
    made = create(run, config)
    run("mailboxes", "suspend", BOX, "--config", config)
    told = database.read(lambda conn: events.find(conn, address=BOX)).result()
    assert {event.kind for event in told} == {"mailbox-created", "mailbox-suspended"}
    assert made["password"] not in repr(told)


def test_explain_knows_mailboxes(run: Run, config: Path, tmp_path: Path) -> None:
    create(run, config)
    mail = tmp_path / "mail.eml"
    mail.write_bytes(b"From: ann@inside.test\r\nTo: archive@inside.test\r\nSubject: x\r\n\r\nx\r\n")
    assert "  sealed into the archive mailbox\n" in run("explain", mail, "--config", config).out
    run("mailboxes", "suspend", BOX, "--config", config)
    [told] = json.loads(run("explain", mail, "--json", "--config", config).out)["recipients"]
    assert told["would"] == ["refused: it is suspended"]


def test_a_mailbox_is_no_user(run: Run, config: Path) -> None:
    create(run, config)
    ran = run("users", "add", BOX, "--config", config)
    assert ran.code == 1 and "is an archive mailbox" in ran.err


def test_no_such_mailbox(run: Run, config: Path) -> None:
    for word in ("show", "suspend", "resume", "password", "delete"):
        ran = run("mailboxes", word, "nobody@inside.test", "--config", config)
        assert (ran.code, ran.err) == (1, "securegw: nobody@inside.test: there is no such mailbox\n")
