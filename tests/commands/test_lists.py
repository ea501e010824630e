"""Domains, routes, users and rules: changed, listed, refused, and told as events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from securegw.crypto.seal import load_master_key
from securegw.mail.errors import SealBroken
from securegw.store import domains
from securegw.store.database import Database
from securegw.store.domains import Route
from tests.commands.conftest import Run

RULE = """
[[rule]]
name = "to the lab"
reason = "the lab reads no sealed mail"
when = { recipient = "@lab.test" }
encrypt = "never"
"""


def rows(run: Run, *words: object) -> Any:
    ran = run(*words, "--json")
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


def test_domains(run: Run, config: Path) -> None:
    add = ("domains", "add", "Second.TEST", "--route", "[192.0.2.9]", "--tls", "encrypt", "--config", config)
    assert run(*add).code == 0
    added = {"name": "second.test", "route": "[192.0.2.9]", "tls": "encrypt", "recipients": "any", "fingerprints": []}
    assert added in rows(run, "domains", "list", "--config", config)
    again = run(*add)
    assert (again.code, again.err) == (
        1, "securegw: second.test: is there already; change it with: securegw domains set\n"
    )
    assert run("domains", "remove", "second.test", "--config", config).code == 0
    assert [row["name"] for row in rows(run, "domains", "list", "--config", config)] == ["inside.test"]
    gone = run("domains", "remove", "second.test", "--config", config)
    assert (gone.code, gone.err) == (1, "securegw: second.test: there is no such domain\n")


def test_a_domain_is_changed_only_where_the_command_says_so(run: Run, config: Path) -> None:
    def change(*words: object) -> Any:
        assert run("domains", "set", "Inside.test", *words, "--config", config).code == 0
        [domain] = rows(run, "domains", "list", "--config", config)
        return domain

    before = {"name": "inside.test", "route": "[192.0.2.7]:2525", "tls": "may", "recipients": "any", "fingerprints": []}
    assert change("--recipients", "list") == before | {"recipients": "list"}
    assert change("--route", "[a.test]", "--tls", "verify") == before | {
        "route": "[a.test]", "tls": "verify", "recipients": "list"
    }
    believed = change("--tls", "fingerprint", "--fingerprint", ":".join(["AB"] * 32), "--fingerprint", "0" * 64)
    assert believed["fingerprints"] == ["ab" * 32, "0" * 64]
    assert change("--recipients", "call")["fingerprints"] == ["ab" * 32, "0" * 64]
    assert change("--tls", "secure")["fingerprints"] == []
    last = rows(run, "history", "--since", "1h", "--config", config)[-1]
    assert (last["kind"], last["detail"]["old"]["tls"], last["detail"]["new"]["tls"]) == (
        "domain-changed", "fingerprint", "secure"
    )
    ran = run("domains", "set", "inside.test", "--tls", "secure", "--config", config)
    assert (ran.code, "nothing to change" in ran.err) == (1, True)
    assert run("domains", "set", "other.test", "--tls", "secure", "--config", config).code == 1


@pytest.mark.parametrize(
    ("words", "err"),
    [
        (("--tls", "fingerprint"), "needs at least one --fingerprint"),
        (("--fingerprint", "a" * 64), "belongs to --tls fingerprint"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ("domains", "add", "b.test", "--route", "[b.test]"), ("domains", "set", "inside.test"),
        ("routes", "set", "*", "b.test"),
    ],
)
def test_fingerprints_and_their_level_belong_together(
    run: Run, config: Path, command: tuple[str, ...], words: tuple[str, ...], err: str
) -> None:
    ran = run(*command, *words, "--config", config)
    assert (ran.code, err in ran.err) == (1, True)


@pytest.mark.parametrize(
    "words", [("add", "nodot", "--route", "[a.test]"), ("add", "b.test", "--route", "a b"), ("add", "b.test"),
     ("set", "inside.test", "--recipients", "some"), ("set", "inside.test", "--fingerprint", "ab:cd")]
)
def test_domains_wrong_usage(run: Run, config: Path, words: tuple[str, ...]) -> None:
    assert run("domains", *words, "--config", config).code == 2


def test_routes(run: Run, config: Path) -> None:
    assert run("routes", "set", "*", "[smart.test]:587", "--tls", "encrypt", "--config", config).code == 0
    assert run("routes", "set", "*", "[smarter.test]:587", "--config", config).code == 0
    [route] = rows(run, "routes", "list", "--config", config)
    assert route == {"pattern": "*", "hop": "[smarter.test]:587", "tls": "may", "login": "", "fingerprints": []}
    assert run("routes", "remove", "*", "--config", config).code == 0
    assert run("routes", "remove", "*", "--config", config).code == 1


def test_the_password_of_a_route_is_sealed_and_never_shown(run: Run, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("gehört niemandem 77\nsecond line\n")
    words = ("[smart.test]:587", "--tls", "secure", "--login", "Gate Way", "--password-file", file, "--config", config)
    ran = run("routes", "set", "partner.test", *words)
    assert (ran.code, ran.out) == (0, "partner.test: goes to [smart.test]:587, signed in as Gate Way\n")
    route = stored_route(config)
    master = load_master_key(config.parent / "master.key")
    assert route.secret is not None
    assert master.open("route-secret", "partner.test", route.secret).decode() == "gehört niemandem 77"
    with pytest.raises(SealBroken):
        master.open("route-secret", "*", route.secret)
    told = run("routes", "list", "--config", config).out + run("history", "--since", "1h", "--config", config).out
    told += run("routes", "list", "--json", "--config", config).out + repr(route)
    assert "Gate Way" in told
    assert "niemandem" not in told
    assert route.secret.hex()[:16] not in told


def test_a_route_without_a_login_forgets_the_password(run: Run, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("something secret")
    login = ("--tls", "encrypt", "--login", "gw", "--password-file", file)
    run("routes", "set", "*", "[smart.test]", *login, "--config", config)
    run("routes", "set", "*", "[smart.test]", "--config", config)
    assert (stored_route(config).login, stored_route(config).secret) == ("", None)


@pytest.mark.parametrize(
    ("words", "code", "err"),
    [
        (("--login", "gw", "--password-file", "FILE"), 1, "needs TLS"),
        (("--login", "gw", "--tls", "none", "--password-file", "FILE"), 1, "needs TLS"),
        (("--tls", "encrypt", "--password-file", "FILE"), 1, "belongs to --login"),
        (("--tls", "encrypt", "--login", "gw"), 1, "--password-file"),
        (("--tls", "encrypt", "--login", "gw", "--password-file", "EMPTY"), 1, "first line is empty"),
        (("--tls", "encrypt", "--login", "gw", "--password-file", "NONE"), 1, "No such file"),
        (("--tls", "encrypt", "--login", ""), 2, "not a name"),
        (("--tls", "sometimes"), 2, "sometimes"),
    ],
)
def test_a_password_goes_nowhere_by_mistake(
    run: Run, config: Path, tmp_path: Path, words: tuple[str, ...], code: int, err: str
) -> None:
    (tmp_path / "FILE").write_text("something secret")
    (tmp_path / "EMPTY").write_text("\nsomething secret")
    named = [tmp_path / word if word in ("FILE", "EMPTY", "NONE") else word for word in words]
    ran = run("routes", "set", "*", "[smart.test]", *named, "--config", config)
    assert (ran.code, err in ran.err, "something secret" in ran.err) == (code, True, False)
    assert rows(run, "routes", "list", "--config", config) == []


def stored_route(config: Path) -> Route:
    database = Database(f"sqlite:///{config.parent}/securegw.db", inline=True)
    try:
        [route] = database.read(domains.list_routes).result()
        return route
    finally:
        database.close()


def test_users(run: Run, config: Path) -> None:
    assert run("users", "add", "Ann@inside.test", "--name", "Ann Keller", "--config", config).code == 0
    assert run("users", "add", "ann@inside.test", "--config", config).code == 1
    assert run("users", "set", "ann@inside.test", "--may-sign", "no", "--config", config).code == 0
    [user] = rows(run, "users", "list", "--config", config)
    assert (user["address"], user["name"], user["may_sign"], user["may_encrypt"]) == (
        "ann@inside.test", "Ann Keller", False, True
    )
    assert run("users", "set", "ann@inside.test", "--config", config).code == 1
    assert run("users", "remove", "ann@inside.test", "--config", config).code == 0
    for words in (("remove",), ("set", "--name", "x")):
        ran = run("users", words[0], "ann@inside.test", *words[1:], "--config", config)
        assert (ran.code, ran.err) == (1, "securegw: ann@inside.test: there is no such user\n")
    assert run("users", "add", "no address", "--config", config).code == 2


def test_a_change_is_an_event_with_old_and_new(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "carla")
    run("users", "add", "ann@inside.test", "--config", config)
    run("users", "set", "ann@inside.test", "--name", "Ann", "--config", config)
    added, changed = rows(run, "history", "--address", "ann@inside.test", "--config", config)
    assert (added["kind"], added["actor"]) == ("user-added", "command:carla")
    assert (changed["detail"]["old"]["name"], changed["detail"]["new"]["name"]) == ("", "Ann")


def test_more_users_than_a_page(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("securegw.commands.users.PAGE", 2)
    for number in range(5):
        run("users", "add", f"u{number}@inside.test", "--config", config)
    assert len(rows(run, "users", "list", "--config", config)) == 5


def test_history_of_nothing_is_refused(run: Run, config: Path) -> None:
    ran = run("history", "--trace", "0" * 16, "--config", config)
    assert (ran.code, ran.err) == (1, "securegw: there is no event of that\n")
    assert run("history", "--config", config).code == 2


def test_rules_are_loaded_shown_and_rolled_back(run: Run, config: Path, tmp_path: Path) -> None:
    first = run("rules", "show", "--config", config).out
    new = tmp_path / "new.toml"
    new.write_text(RULE + first)
    assert run("rules", "check", new).code == 0
    assert "version 2 is in force" in run("rules", "load", new, "--config", config).out
    assert run("rules", "show", "--config", config).out == RULE + first
    assert run("rules", "show", "1", "--config", config).out == first
    assert "version 3 is in force" in run("rules", "rollback", "1", "--config", config).out
    assert run("rules", "show", "--config", config).out == first
    history = rows(run, "rules", "history", "--config", config)
    assert [(row["version"], row["in_force"]) for row in history] == [(3, True), (2, False), (1, False)]
    assert history[0]["note"] == "back to version 1"
    ran = run("rules", "rollback", "9", "--config", config)
    assert (ran.code, ran.err) == (1, "securegw: there is no version 9 of the rules\n")


def test_rules_with_mistakes_are_not_loaded(run: Run, config: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('[[rule]]\nname = "a"\nencrpyt = "must"\n\n[[rule]]\nname = "b"\nencrypt = "perhaps"\n')
    for words in (("check", bad), ("load", bad, "--config", config)):
        ran = run("rules", *words)
        assert ran.code == 1
        assert f"{bad}:3: " in ran.err
        assert f"{bad}:7: " in ran.err
    assert len(rows(run, "rules", "history", "--config", config)) == 1


def test_a_command_beside_the_running_gateway(run: Run, config: Path) -> None:
    gateway = Database(f"sqlite:///{config.parent}/securegw.db")
    try:
        gateway.lock()
        assert run("routes", "set", "*", "[smart.test]", "--config", config).code == 0
    finally:
        gateway.close()


def test_a_database_that_is_not_there_is_not_made(run: Run, config: Path) -> None:
    for file in config.parent.glob("securegw.db*"):
        file.unlink()
    ran = run("domains", "list", "--config", config)
    assert ran.code == 1
    assert "there is no database yet" in ran.err
    assert not (config.parent / "securegw.db").exists()


def test_tables_of_another_version_are_refused(run: Run, config: Path) -> None:
    import sqlite3

    with sqlite3.connect(config.parent / "securegw.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'newer'")
    ran = run("domains", "list", "--config", config)
    assert ran.code == 1
    assert "another version" in ran.err
