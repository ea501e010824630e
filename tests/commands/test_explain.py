"""What would happen to a mail: by the database of a gateway, or by rules alone; nothing is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from securegw.crypto.certificate import read_certificate
from tests.commands.conftest import Run
from tests.commands.keys_of_two import person, root, write_pem

BOB = "bob@outside.test"


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    return write(tmp_path, "hello")


def write(tmp_path: Path, subject: str, *, to: str = BOB, cc: str = "", more: str = "") -> Path:
    file = tmp_path / "mail.eml"
    cc_line = f"Cc: {cc}\r\n" if cc else ""
    file.write_text(
        f"From: Ann <ann@inside.test>\r\nTo: {to}\r\n{cc_line}Subject: {subject}\r\n{more}\r\nWords.\r\n", newline=""
    )
    return file


def explained(run: Run, *words: object) -> Any:
    ran = run("explain", "--json", *words)
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


def decision(run: Run, *words: object) -> Any:
    [recipient] = explained(run, *words)["recipients"]
    return recipient["decision"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No securegw.toml in the folder where the tests run."""
    monkeypatch.chdir(tmp_path)


def test_without_a_database(run: Run, mail: Path) -> None:
    told = explained(run, mail)
    assert told["sender"] == "ann@inside.test"
    [bob] = told["recipients"]
    assert (bob["recipient"], bob["direction"], bob["decision"]["method"]) == (BOB, "outgoing", "plain")
    assert bob["decision"]["rulings"]


def test_what_the_sender_asks_for(run: Run, tmp_path: Path) -> None:
    asked = decision(run, write(tmp_path, "[confidential] hello"))
    assert (asked["outcome"], asked["method"], asked["subject"]) == ("send", "carrier", "hello")
    assert decision(run, write(tmp_path, "[confidential] [plain] hello"))["outcome"] == "refuse"
    assert decision(run, write(tmp_path, "hello", more="x-smenc: yes\r\n"))["method"] == "carrier"


def test_a_stranger_steers_nothing(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path, "[confidential] hello")
    assert decision(run, file, "--outside")["method"] != "carrier"


def test_the_answer_in_words_has_every_ruling(run: Run, mail: Path) -> None:
    ran = run("explain", mail)
    assert (ran.code, ran.err) == (0, "")
    assert "nothing was sent" in ran.out
    assert "bob@outside.test (outgoing)" in ran.out
    assert "encrypt = " in ran.out
    assert "the built-in rules" in ran.out


def test_each_recipient_once_and_the_envelope_of_the_command(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path, "hello", to=f"Bob <{BOB}>, carl@third.test", cc=f"{BOB}, dora@inside.test")
    rows = explained(run, file)["recipients"]
    assert [(row["recipient"], row["direction"]) for row in rows] == [
        (BOB, "outgoing"), ("carl@third.test", "outgoing"), ("dora@inside.test", "internal"),
    ]
    told = explained(run, file, "--from", "eve@else.test", "--to", "x@y.test", "z@y.test")
    assert told["sender"] == "eve@else.test"
    assert [row["recipient"] for row in told["recipients"]] == ["x@y.test", "z@y.test"]


def test_other_rules_are_tried_without_loading_them(run: Run, config: Path, tmp_path: Path, mail: Path) -> None:
    rules = tmp_path / "r.toml"
    rules.write_text('[[rule]]\nname = "stop"\nwhen = { recipient = "@outside.test" }\nrefuse = "Not to them."\n')
    for words in ((), ("--config", config)):
        stopped = decision(run, mail, "--rules", rules, *words)
        assert (stopped["outcome"], stopped["rule"], stopped["sentence"]) == ("refuse", "stop", "Not to them.")
    assert decision(run, mail, "--config", config)["outcome"] == "send"
    rules.write_text("[[rule]]\n")
    ran = run("explain", mail, "--rules", rules)
    assert (ran.code, f"{rules}:1" in ran.err) == (1, True)


def test_by_the_gateways_database(run: Run, config: Path, tmp_path: Path, mail: Path) -> None:
    before = explained(run, mail, "--config", config)
    assert before["rules"] == "rules version 1"
    assert before["recipients"][0]["decision"]["method"] == "plain"
    run("keys", "import", write_pem(tmp_path / "bob.pem", person(BOB)), "--config", config)
    [bob] = explained(run, mail, "--config", config)["recipients"]
    assert bob["decision"]["method"] == "plain"
    assert "unknown-issuer" in bob["certificates"][0]
    run("keys", "import", write_pem(tmp_path / "root.pem", root()), "--trust", "--config", config)
    [bob] = explained(run, mail, "--config", config)["recipients"]
    assert bob["decision"]["method"] == "smime"
    name = read_certificate(person(BOB).certificate).fingerprint[:16]
    assert bob["sealing"] == {"cipher": "aes-256-cbc", "keys": {name: "rsa"}}
    assert f"sealed with aes-256-cbc; the key to {name} by rsa" in run("explain", mail, "--config", config).out


def test_a_user_who_may_not_encrypt(run: Run, config: Path, tmp_path: Path) -> None:
    run("users", "add", "ann@inside.test", "--may-encrypt", "no", "--config", config)
    refused = decision(run, write(tmp_path, "[confidential] x"), "--config", config)
    assert (refused["outcome"], refused["reason"]) == ("refuse", "may-not-encrypt")


def test_nothing_is_written(run: Run, config: Path, mail: Path) -> None:
    events = run("history", "--address", "ann@inside.test", "--config", config).code
    before = (config.parent / "securegw.db").read_bytes()
    assert run("explain", mail, "--config", config).code == 0
    assert (config.parent / "securegw.db").read_bytes() == before
    assert run("users", "list", "--json", "--config", config).out == "[]\n"
    assert run("history", "--address", "ann@inside.test", "--config", config).code == events == 1


def test_a_configuration_that_is_named_must_be_there(run: Run, mail: Path, tmp_path: Path) -> None:
    assert run("explain", mail, "--config", tmp_path / "none.toml").code == 1


def test_what_cannot_be_explained(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"no header at all")
    assert "no header" in run("explain", file).err
    file.write_bytes(b"From: a@b.test\r\n\r\nx")
    assert "names no recipient" in run("explain", file).err
    file.write_bytes(b"From: a@b.test\r\nTo: (((\r\n\r\nx")
    ran = run("explain", file)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert run("explain", tmp_path / "none").code == 1
