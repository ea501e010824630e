"""A first gateway: every file closed to others, a configuration without mistakes, and what the world must have."""

from __future__ import annotations

import hashlib
import json
import ssl
import stat
import subprocess
from pathlib import Path

import pytest

from securegw import config as settings_reader
from securegw.commands import quickstart
from securegw.commands.surroundings import dns_records, firewall
from securegw.crypto import authority
from securegw.gateway import Settings
from tests.commands.conftest import Run


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_and_its_files_are_the_owners_alone(template: Path) -> None:
    assert mode(template) == 0o700
    names = {"securegw.toml", "master.key", "tls.key", "tls.pem", "rules.toml", "securegw.db"}
    assert names <= {file.name for file in template.iterdir()}
    assert {mode(file) for file in template.iterdir()} == {0o600}


def test_the_configuration_is_the_reference_with_values(template: Path) -> None:
    file = template / "securegw.toml"
    text = file.read_text()
    settings = settings_reader.read(Settings, text, str(file))
    assert settings.gateway.host == "gw.inside.test"
    assert settings.gateway.master_key == template / "master.key"
    assert settings.portal.url == "https://gw.inside.test"
    assert "192.0.2.7/32" in [str(network) for network in settings.intake.relay_networks]
    assert text.count("\n# ") > 20


def test_what_quickstart_makes_passes_the_check(run: Run, config: Path) -> None:
    ran = run("check", "--config", config)
    assert (ran.code, ran.err) == (0, "")


def test_the_database_has_domain_rules_and_authority(run: Run, config: Path) -> None:
    [domain] = json.loads(run("domains", "list", "--json", "--config", config).out)
    assert domain == {
        "name": "inside.test", "route": "[192.0.2.7]:2525", "tls": "may", "recipients": "any", "fingerprints": [],
    }
    [version] = json.loads(run("rules", "history", "--json", "--config", config).out)
    assert version["in_force"]
    [key] = json.loads(run("keys", "list", "--json", "--config", config).out)
    assert (key["source"], key["trust"], key["private"]) == ("authority", "trusted", True)


def test_it_prints_dns_firewall_and_three_commands(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    out = run("quickstart", "gw.example.org", "--dir", folder, "--domain", "example.org").out
    pem = (folder / "tls.pem").read_bytes()
    command = "openssl x509 -pubkey -noout | openssl pkey -pubin -outform DER"
    key = subprocess.run(["sh", "-c", command], input=pem, capture_output=True, check=True).stdout
    for words in (
        "example.org. IN MX 10 gw.example.org.", 'example.org. IN TXT "v=spf1 mx -all"', "._domainkey.example.org.",
        "_mta-sts.example.org. IN TXT", "version: STSv1", "_dmarc.example.org.",
        f"_25._tcp.gw.example.org. IN TLSA 3 1 1 {hashlib.sha256(key).hexdigest()}",
        "PORT", "DIRECTION", "WHY", "25/tcp", "443/tcp", "995/tcp", "10025/tcp", "53/udp",
        "1. securegw check", "2. twistd -n securegw", "3. securegw",
    ):
        assert words in out


def test_it_overwrites_nothing(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "master.key").write_text("precious")
    ran = run("quickstart", "gw.example.org", "--dir", folder)
    assert (ran.code, ran.out) == (1, "")
    assert "overwrites nothing" in ran.err
    assert [file.name for file in folder.iterdir()] == ["master.key"]
    assert (folder / "master.key").read_text() == "precious"
    assert run("quickstart", "gw.example.org", "--dir", folder / "master.key").code == 1


def test_an_empty_folder_is_used_and_closed(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir(mode=0o755)
    assert run("quickstart", "gw.example.org", "--dir", folder).code == 0
    assert mode(folder) == 0o700


def test_a_failure_leaves_nothing_half_made(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(plan: quickstart.Plan) -> None:
        raise OSError(28, "No space left on device", "securegw.db")

    monkeypatch.setattr(quickstart, "fill_database", full)
    ran = run("quickstart", "gw.example.org", "--dir", tmp_path / "new")
    assert (ran.code, ran.err) == (1, "securegw: securegw.db: No space left on device\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["localhost", "gw example.org", "", "[192.0.2.1]"])
def test_a_host_that_is_no_name_is_wrong_usage(run: Run, tmp_path: Path, host: str) -> None:
    assert run("quickstart", host, "--dir", tmp_path / "new").code == 2
    assert not (tmp_path / "new").exists()


def test_a_host_outside_of_the_domain_is_noted(run: Run, tmp_path: Path) -> None:
    ran = run("quickstart", "gw.example.net", "--dir", tmp_path / "new", "--domain", "example.org")
    assert ran.code == 0
    assert "not below example.org" in ran.err


def test_tls_files_work(template: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(template / "tls.pem", template / "tls.key")


def test_a_host_of_two_labels_is_its_own_domain() -> None:
    assert quickstart.parent("example.org") == "example.org"
    assert quickstart.parent("a.b.example.org") == "b.example.org"


def test_a_setting_that_is_not_there_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        quickstart.filled("[gateway]\nhost = 1\n", {"smtp.host": "x"})


def test_records_and_firewall_are_rows() -> None:
    _key, root = authority.make_authority("x", years=1, now=0.0, kind="p-256")
    records = dns_records("gw.a.test", "a.test", authority.to_pem(root), 0.0)
    assert {record.kind for record in records} == {"A", "MX", "TXT", "TLSA"}
    assert {row.port for row in firewall("[10.0.0.1]:2500")} >= {"25/tcp", "443/tcp", "2500/tcp", "53/udp, 53/tcp"}
    ports = " ".join(row.port for row in firewall("[10.0.0.1]:2500"))
    assert all(port in ports for port in ("387", "388", "389", "635", "1389", "1636"))
