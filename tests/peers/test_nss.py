"""NSS as the other side: what Thunderbird signs, checks, seals and opens with (``cmsutil`` of NSS 3.87).

It knows no agreement on curves and no AES-GCM; that it says so is tested, for then nothing else may be sent to it, and
its own list of what it opens (``aes-256-cbc`` first) makes us send what it reads.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from securegw.crypto import smime
from securegw.crypto.authority import make_authority
from securegw.crypto.choice import choose
from securegw.crypto.cms_decrypt import decrypt
from securegw.crypto.cms_write import encrypt_cbc, encrypt_gcm, sign
from securegw.crypto.keyfile import write_pkcs12
from securegw.mail.address import parse_address
from tests.crypto import der_shapes as shapes
from tests.crypto.people import Authority, Person

AT = time.time()  # it judges by its own clock
ENTITY = b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe blood count is fine.\r\n" * 50
KINDS = ("rsa-2048", "rsa-3072", "p-256", "p-384", "p-521")
SENDER = 4  # certUsageEmailSigner


def address_of(kind: str) -> str:
    """One for each: NSS takes certificates of one name for those of one person."""
    return f"{kind}@inside.test"


@attrs.frozen
class Peer:
    """NSS with a database of its own: everybody's keys, and the authority trusted for mail."""

    folder: Path
    authority: Authority
    people: dict[str, Person]

    def put(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def run(self, program: str, *words: object, fails: bool = False) -> bytes:
        command = [program, *map(str, words), "-d", f"sql:{self.folder}"]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert (done.returncode != 0) is fails, f"{' '.join(command)}:\n{done.stderr.decode()}"
        return done.stderr if fails else done.stdout

    def cms(self, *words: object, given: bytes, fails: bool = False) -> bytes:
        out = self.folder / "out"
        out.unlink(missing_ok=True)
        told = self.run("cmsutil", *words, "-i", self.put("in", given), "-o", out, fails=fails)
        return told if fails else out.read_bytes()


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Peer:
    for name in ("cmsutil", "certutil", "pk12util"):
        program(name)
    authority = Authority(*make_authority("NSS", years=20, now=AT - 86_400, kind="p-256"))
    people = {kind: authority.person(address_of(kind), kind, now=AT - 3_600) for kind in KINDS}
    found = Peer(tmp_path_factory.mktemp("nss"), authority, people)
    found.run("certutil", "-N", "--empty-password")
    found.run("certutil", "-A", "-n", "root", "-t", ",C,", "-i", found.put("root.der", authority.der))
    for kind, person in people.items():
        file = found.put(f"{kind}.p12", write_pkcs12(person.key, person.der, [], name=kind, password="once"))
        found.run("pk12util", "-i", file, "-W", "once", "-K", "")
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["detached", "opaque"])
def test_its_signatures_are_good(peer: Peer, kind: str, form: str) -> None:
    beside = ("-T",) if form == "detached" else ()
    cms = peer.cms("-S", "-N", kind, "-G", "-P", *beside, given=ENTITY)
    mail = (shapes.beside(cms, ENTITY) if beside else shapes.cms_mail(cms)).replace(b"ann@", f"{kind}@".encode(), 1)
    found = smime.open(mail, [], [peer.authority.der], AT + 300, parse_address(address_of(kind)))
    assert found.verdict.signed_ok, found.verdict
    assert found.announced == ("aes-256-cbc", "aes-128-cbc", "3des-cbc")
    assert choose({found.certificates[0]: found.announced}).cipher == "aes-256-cbc"


@pytest.mark.parametrize("kind", KINDS)
def test_it_verifies_our_signatures(peer: Peer, kind: str) -> None:
    person = peer.people[kind]
    inside, _ = sign(ENTITY, *person.pair, [peer.authority.der], AT, detached=False)
    assert peer.cms("-D", "-u", SENDER, given=inside) == ENTITY
    beside, _ = sign(ENTITY, *person.pair, [peer.authority.der], AT)
    told = peer.cms("-D", "-u", SENDER, "-h", 0, "-c", peer.put("content", ENTITY), given=beside)
    assert b"signer0.status=GoodSignature" in told
    changed = peer.put("content", ENTITY.replace(b"fine", b"grim"))
    assert b"fine" not in peer.cms("-D", "-u", SENDER, "-c", changed, given=beside, fails=True)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_sealed_with_rsa_in_both_directions(peer: Peer, kind: str) -> None:
    person = peer.people[kind]
    assert peer.cms("-D", given=encrypt_cbc(ENTITY, [person.der])) == ENTITY
    assert decrypt(peer.cms("-E", "-r", address_of(kind), given=ENTITY), [person.pair]).content == ENTITY


def test_signed_and_sealed_as_a_whole_mail(peer: Peer) -> None:
    """Our mail, layer by layer with its means."""
    ann = peer.people["rsa-2048"]
    inner, _ = sign(ENTITY, *ann.pair, [peer.authority.der], AT, detached=False)
    opened = peer.cms("-D", given=encrypt_cbc(inner, [ann.der]))
    assert peer.cms("-D", "-u", SENDER, given=opened) == ENTITY


def test_it_verifies_pss(peer: Peer) -> None:
    made, _ = sign(ENTITY, *peer.people["rsa-2048"].pair, [peer.authority.der], AT, detached=False, scheme="pss")
    assert b"GoodSignature" in peer.cms("-D", "-u", SENDER, "-h", 0, given=made)


def test_what_it_does_not_know(peer: Peer) -> None:
    """So a mail for several certificates of one person is closed to it if one of them is on a curve."""
    rsa, curve = peer.people["rsa-2048"], peer.people["p-256"]
    assert b"UNRECOGNIZED_OID" in peer.cms("-D", given=encrypt_gcm(ENTITY, [rsa.der]), fails=True)
    for certificates in ([curve.der], [rsa.der, curve.der]):
        assert b"BAD_DER" in peer.cms("-D", given=encrypt_cbc(ENTITY, certificates), fails=True)
    assert b"INVALID_ALGORITHM" in peer.cms("-E", "-r", address_of("p-256"), given=ENTITY, fails=True)
