"""A verdict in a saved mail: ours, or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from securegw import config as settings
from securegw import gateway
from securegw.crypto.seal import load_master_key
from securegw.flow.proofs import Proofs
from securegw.mail import message as messages
from tests.commands.conftest import Run

MAIL = b"From: Carol <carol@partner.test>\r\nMessage-ID: <a@b.test>\r\nSubject: x\r\n\r\nwords\r\n"


@pytest.fixture
def proofs(config: Path) -> Proofs:
    read = settings.read(gateway.Settings, config.read_text("utf-8"), str(config))
    return Proofs(load_master_key(read.gateway.master_key))


def marked(proofs: Proofs) -> bytes:
    message = messages.read(MAIL)
    value = proofs.proved("integrity=good", message, "0123456789abcdef")
    opened = messages.field_line("X-Securegw-Opened", proofs.opened("0123456789abcdef"))
    return messages.prepend(MAIL, messages.field_line("X-Securegw-Verdict", value) + opened)


def test_ours_moved_forged_and_none(run: Run, config: Path, tmp_path: Path, proofs: Proofs) -> None:
    good = marked(proofs)
    for raw, code, mark, body in [
        (good, 0, "ours", "same"),
        (good.replace(b"\r\n", b"\n"), 0, "ours", "same"),
        (good + b"-- \r\nfooter\r\n", 0, "ours", "changed"),
        (good.replace(b"integrity=good", b"integrity=bad"), 1, "forged", None),
        (good.replace(b"carol@partner.test", b"eve@partner.test"), 1, "forged", None),
        (MAIL, 1, "none", None),
    ]:
        file = tmp_path / "mail.eml"
        file.write_bytes(raw)
        ran = run("verify", file, "--json", "--config", config)
        [row] = json.loads(ran.out)
        assert (ran.code, ran.err, row["mark"], row.get("body")) == (code, "", mark, body)
        assert row["opened_here"] is (raw != MAIL)


def test_in_words(run: Run, config: Path, tmp_path: Path, proofs: Proofs) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(marked(proofs))
    ran = run("verify", file, "--config", config)
    assert "written by this gateway for this mail" in ran.out
    file.write_bytes(b"no mail")
    assert run("verify", file, "--config", config).code == 1
