"""OpenPGP keys by command."""

from __future__ import annotations

import json
from pathlib import Path

from securegw.crypto.pgp_outline import to_armor
from tests.commands.conftest import Run
from tests.support import pgp

CAROL = "Carol Meier <carol@partner.test>"


def test_import_list_and_remove(run: Run, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.asc"
    file.write_bytes(to_armor(pgp.key(CAROL)) + to_armor(pgp.key("bob@partner.test", seed=2)))
    assert run("pgpkeys", "import", file, "--config", config).code == 0
    rows = json.loads(run("pgpkeys", "list", "--json", "--config", config).out)
    assert {row["fingerprint"] for row in rows} == {pgp.fingerprint(), pgp.fingerprint(2)}
    assert [row["user_ids"] for row in json.loads(
        run("pgpkeys", "list", "--text", "meier", "--json", "--config", config).out
    )] == [CAROL]  # fmt: skip
    assert run("pgpkeys", "remove", pgp.fingerprint()[-16:], "--config", config).code == 0
    ran = run("pgpkeys", "remove", pgp.fingerprint()[-16:], "--config", config)
    assert (ran.code, "no key" in ran.err) == (1, True)


def test_what_is_not_taken(run: Run, config: Path, tmp_path: Path) -> None:
    for name, content, words in (
        ("revoked", pgp.key(CAROL, revoked=True), "revoked"),
        ("ended", pgp.key(CAROL, lifetime=60), "has ended"),
        ("nobody", pgp.key("nobody in particular"), "no user ID"),
        ("secret", pgp.packet(5, b"\x04"), "secret key"),
        ("junk", b"hello", "key"),
        ("one of two", pgp.key(CAROL) + pgp.key("a@b.test", seed=2, revoked=True), "revoked"),
    ):
        file = tmp_path / name
        file.write_bytes(content)
        ran = run("pgpkeys", "import", file, "--config", config)
        assert (ran.code, words in ran.err) == (1, True), (name, ran.err)
    assert json.loads(run("pgpkeys", "list", "--json", "--config", config).out) == []
