"""OpenSSL and our revocation lists: it believes them, and believes no more what stands on them."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from securegw.crypto import authority
from securegw.crypto.certificate import read_certificate
from securegw.crypto.revocation import Revoked, make_list, make_request
from tests.peers.conftest import demand


def openssl(*words: object) -> tuple[int, str]:
    demand(None if shutil.which("openssl") else "openssl is not installed")
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["rsa-2048", "p-256"])
def test_openssl_obeys_our_list(tmp_path: Path, kind: str) -> None:
    now = time.time()
    key, ca = authority.make_authority("Inside CA", years=5, now=now, kind=kind)
    _, der = authority.issue(
        key, ca, address="ann@inside.test", name="Ann", days=90, now=now, kind=kind, crl_url="http://crl.test/crl/a.crl"
    )
    (tmp_path / "ca.pem").write_bytes(authority.to_pem(ca))
    (tmp_path / "ann.pem").write_bytes(authority.to_pem(der))
    line = Revoked(read_certificate(der).serial, now, "key-compromise")
    for number, lines, said in ((1, [], ": OK"), (2, [line], "certificate revoked")):
        (tmp_path / "list.crl").write_bytes(make_list(key, ca, lines, number=number, now=now, days=7))
        assert openssl("crl", "-inform", "DER", "-in", tmp_path / "list.crl", "-out", tmp_path / "list.pem")[0] == 0
        files = ("-CAfile", tmp_path / "ca.pem", "-CRLfile", tmp_path / "list.pem")
        code, told = openssl("verify", "-crl_check", *files, tmp_path / "ann.pem")
        assert (code == 0, said in told) == (lines == [], True), told
    _, told = openssl("x509", "-in", tmp_path / "ann.pem", "-noout", "-ext", "crlDistributionPoints")
    assert "URI:http://crl.test/crl/a.crl" in told


def test_openssl_signs_our_request(tmp_path: Path) -> None:
    _, request = make_request("Inside Sub CA")
    (tmp_path / "sub.csr").write_bytes(request)
    code, told = openssl("req", "-in", tmp_path / "sub.csr", "-noout", "-verify", "-text")
    assert code == 0
    assert "CA:TRUE, pathlen:0" in told and "Certificate Sign, CRL Sign" in told
