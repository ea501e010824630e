"""BouncyCastle as the other side: what Java programs and many gateways of others write, and how they read ours.

Another reading of CMS than OpenSSL's and GnuPG's, and the one among them with Ed25519, Ed448, X25519, X448 and AES-GCM.
All jobs of this file are done by one start of its machine (``tests/support/BouncyCastle.java``).
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from securegw.crypto import oids, smime
from securegw.crypto.algorithms import mask
from securegw.crypto.authority import make_authority
from securegw.crypto.choice import CIPHERS, Choice, CipherName
from securegw.crypto.cms_decrypt import decrypt
from securegw.crypto.cms_verify import verify
from securegw.crypto.cms_write import encrypt_cbc, encrypt_gcm, sign
from securegw.crypto.signatures import Scheme
from securegw.mail.address import parse_address
from tests.crypto import der_shapes as shapes
from tests.crypto import test_rfc9216 as rfc9216
from tests.crypto.people import Authority, Person
from tests.peers.conftest import demand

JARS = [Path("/usr/share/java") / f"{name}.jar" for name in ("bcpkix", "bcprov", "bcutil")]
PROGRAM = Path(__file__).parent.parent / "support" / "BouncyCastle.java"
ENTITY = b"Content-Type: text/plain; charset=utf-8\r\n\r\nThe blood count is fine.\r\n" * 200
AT = time.time()  # it signs by its own clock
KINDS = ("rsa-2048", "p-256", "p-384", "p-521", "ed25519", "ed448", "x25519", "x448")
# Whose signature, and by which of BouncyCastle's algorithms.
THEIR_SIGNATURES = [
    ("rsa-2048", "SHA256withRSA"),
    ("rsa-2048", "SHA384withRSA"),
    ("rsa-2048", "SHA512withRSA"),
    ("rsa-2048", "SHA256withRSAandMGF1"),
    ("rsa-2048", "SHA512withRSAandMGF1"),
    ("p-256", "SHA256withECDSA"),
    ("p-384", "SHA384withECDSA"),
    ("p-521", "SHA512withECDSA"),
    ("ed25519", "Ed25519"),
    ("ed448", "Ed448"),
]
OUR_SIGNATURES: list[tuple[str, Scheme]] = [
    ("rsa-2048", "pkcs1"),
    ("rsa-2048", "pss"),
    *((kind, "pkcs1") for kind in ("p-256", "p-384", "p-521", "ed25519", "ed448")),
]
FORMS = ("detached", "opaque", "stream")
# Whose key, and BouncyCastle's way to it.
THEIR_WAYS = [
    ("rsa-2048", "rsa"),
    ("rsa-2048", "oaep-SHA-1"),
    ("rsa-2048", "oaep-SHA-256"),
    ("rsa-2048", "oaep-SHA-512"),
    ("p-256", "ECDH_SHA1KDF"),
    ("p-256", "ECDH_SHA256KDF"),
    ("p-256", "ECCDH_SHA256KDF"),
    ("p-384", "ECDH_SHA384KDF"),
    ("p-521", "ECDH_SHA512KDF"),
    ("x25519", "hkdf-sha256"),
    ("x25519", "hkdf-sha512"),
    ("x448", "hkdf-sha512"),
    ("x448", "hkdf-sha384"),
]
THEIR_CIPHERS = {
    "DES_EDE3_CBC": False,
    "AES128_CBC": False,
    "AES192_CBC": False,
    "AES256_CBC": False,
    "AES128_GCM": True,
    "AES192_GCM": True,
    "AES256_GCM": True,
}
READERS = ("rsa-2048", "rsa-oaep", "p-256", "p-384", "p-521", "x25519", "x448")
RFC9216 = [(author, reader) for author in ("alice", "dana") for reader in ("bob", "carlos")]


@attrs.frozen
class Batch:
    """The jobs for one start, and what came of them: a file for each, or what was said in its place."""

    folder: Path
    jobs: list[tuple[str, ...]] = attrs.field(factory=list)
    answers: dict[str, str] = attrs.field(factory=dict)

    def put(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def add(self, verb: str, name: str, *words: str) -> None:
        self.jobs.append((verb, str(self.folder / f"{name}.out"), *words))

    def run(self) -> None:
        jobs = self.put("jobs", "".join("\t".join(job) + "\n" for job in self.jobs).encode())
        path = ":".join(map(str, JARS))
        command = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", path, str(PROGRAM), jobs]
        done = subprocess.run(command, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr.decode()
        for line in done.stdout.decode().splitlines():
            name, _, answer = line.partition("\t")
            self.answers[Path(name).stem] = answer

    def result(self, name: str) -> bytes:
        assert self.answers[name] == "ok", self.answers[name]
        return (self.folder / f"{name}.out").read_bytes()


@attrs.frozen
class Cast:
    """Everybody with keys of one authority, and the files in which BouncyCastle finds them."""

    authority: Authority
    people: dict[str, Person]
    batch: Batch

    def files(self, kind: str) -> tuple[str, str]:
        person = self.people[kind]
        return self.batch.put(f"{kind}.key", person.key), self.batch.put(f"{kind}.crt", person.der)


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory, program: object) -> Iterator[Cast]:
    missing = [jar.name for jar in JARS if not jar.exists()]
    demand(f"{', '.join(missing)} of libbcpkix-java" if missing else None)
    assert callable(program)
    program("javac")
    authority = Authority(*make_authority("Batch", years=20, now=AT - 86_400, kind="p-256"))
    people = {kind: authority.person("ann@inside.test", kind, now=AT - 3600) for kind in KINDS}
    found = Cast(authority, people, Batch(tmp_path_factory.mktemp("bouncycastle")))
    for jobs in (they_sign, they_verify, they_seal, they_open, they_know_rfc9216):
        jobs(found)
    found.batch.run()
    yield found


def they_sign(cast: Cast) -> None:
    content = cast.batch.put("content", ENTITY)
    for kind, how in THEIR_SIGNATURES:
        for form in FORMS:
            cast.batch.add("sign", f"sign-{how}-{kind}-{form}", content, form, how, *cast.files(kind))
    several = (part for kind, how in THEIR_SIGNATURES[:6] for part in (how, *cast.files(kind)))
    cast.batch.add("sign", "sign-several", content, "detached", *several)
    cast.batch.add("pack", "pack", content)


def they_verify(cast: Cast) -> None:
    content = cast.batch.put("content", ENTITY)
    changed = cast.batch.put("changed", ENTITY.replace(b"fine", b"grim"))
    for kind, scheme in OUR_SIGNATURES:
        person = cast.people[kind]
        for form in FORMS[:2]:
            detached = form == "detached"
            made, _ = sign(ENTITY, *person.pair, [cast.authority.der], AT, detached=detached, scheme=scheme)
            name = f"verify-{kind}-{scheme}-{form}"
            file, words = cast.batch.put(f"{name}.cms", made), cast.files(kind)[1]
            cast.batch.add("verify", name, file, content if detached else "-", words)
            if detached:
                cast.batch.add("verify", f"{name}-changed", file, changed, words)


def they_seal(cast: Cast) -> None:
    content = cast.batch.put("content", ENTITY)
    readers = [word for kind, way in THEIR_WAYS for word in (way, cast.files(kind)[1])]
    for cipher, authenticated in THEIR_CIPHERS.items():
        cast.batch.add("seal", f"seal-{cipher}", content, "whole", cipher, *readers)
        if not authenticated:
            cast.batch.add("seal", f"seal-{cipher}-stream", content, "stream", cipher, *readers)
    for kind, way in THEIR_WAYS:
        cast.batch.add("seal", f"seal-{kind}-{way}", content, "whole", "AES256_GCM", way, cast.files(kind)[1])


def they_open(cast: Cast) -> None:
    everybody = [cast.people[kind].der for kind in ("rsa-2048", "p-256", "p-384", "p-521", "x25519", "x448")]
    for cipher in CIPHERS:
        seal = encrypt_cbc if cipher == "aes-256-cbc" else encrypt_gcm
        for reader in READERS:
            kind = "rsa-2048" if reader == "rsa-oaep" else reader
            choice = Choice(cipher, {cast.people[kind].der: "rsa-oaep"} if reader == "rsa-oaep" else {})
            name = f"open-{cipher}-{reader}"
            file = cast.batch.put(f"{name}.cms", seal(ENTITY, everybody, choice))
            cast.batch.add("open", name, file, *cast.files(kind))
    bent = bytearray(encrypt_gcm(ENTITY, everybody))
    bent[-len(ENTITY) // 2] ^= 1
    cast.batch.add("open", "open-bent", cast.batch.put("bent.cms", bytes(bent)), *cast.files("p-256"))


def they_know_rfc9216(cast: Cast) -> None:
    content = cast.batch.put("content", ENTITY)

    def files(name: str) -> tuple[str, str]:
        key, der = rfc9216.key(name), rfc9216.certificate(name).der
        return cast.batch.put(f"{name}.key", key), cast.batch.put(f"{name}.crt", der)

    for author, reader in RFC9216:
        how = "SHA256withRSA" if author == "alice" else "Ed25519"
        way = "oaep-SHA-256" if reader == "bob" else "hkdf-sha256"
        cast.batch.add("sign", f"rfc9216-{author}", content, "opaque", how, *files(f"{author}.sign"))
        to = files(f"{reader}.encrypt")[1]
        cast.batch.add("seal", f"rfc9216-to-{reader}", content, "whole", "AES256_GCM", way, to)
        ours = encrypt_gcm(ENTITY, [rfc9216.certificate(f"{reader}.encrypt").der])
        file = cast.batch.put(f"rfc9216-{reader}.cms", ours)
        cast.batch.add("open", f"rfc9216-open-{reader}", file, *files(f"{reader}.encrypt"))


# --- what it signs, we verify -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "how"), THEIR_SIGNATURES)
@pytest.mark.parametrize("form", FORMS)
def test_its_signatures_are_good(cast: Cast, kind: str, how: str, form: str) -> None:
    cms = cast.batch.result(f"sign-{how}-{kind}-{form}")
    mail = shapes.beside(cms, ENTITY) if form == "detached" else shapes.cms_mail(cms)
    found = smime.open(mail, [], [cast.authority.der], AT + 300, parse_address("ann@inside.test"))
    assert found.verdict.signed_ok, found.verdict
    assert found.raw.endswith(ENTITY) or form == "detached"
    assert found.announced == ("aes-128-gcm", "aes-256-cbc")
    other = shapes.beside(cms, ENTITY.replace(b"fine", b"grim"))
    assert not smime.open(other, [], [cast.authority.der], AT + 300, parse_address("ann@inside.test")).verdict.signed_ok


def test_its_signatures_by_several(cast: Cast) -> None:
    found = verify(cast.batch.result("sign-several"), ENTITY)
    assert [one.state for one in found.signatures] == ["good"] * 6


def test_what_it_packs_is_unpacked(cast: Cast) -> None:
    found = smime.open(shapes.cms_mail(cast.batch.result("pack")), [], [], AT, None)
    assert found.layers == ("compressed",) and found.raw.endswith(ENTITY)


# --- what we sign, it verifies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "scheme"), OUR_SIGNATURES)
@pytest.mark.parametrize("form", FORMS[:2])
def test_it_verifies_our_signatures(cast: Cast, kind: str, scheme: str, form: str) -> None:
    name = f"verify-{kind}-{scheme}-{form}"
    assert cast.batch.result(name) == ENTITY
    if form == "detached":
        assert re.search("digest|bad signature", cast.batch.answers[f"{name}-changed"])


# --- what it seals, we open ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", THEIR_CIPHERS)
def test_what_it_seals_to_all_is_opened_by_each(cast: Cast, cipher: str) -> None:
    names = [f"seal-{cipher}"] + ([] if THEIR_CIPHERS[cipher] else [f"seal-{cipher}-stream"])
    for name in names:
        sealed = cast.batch.result(name)
        for kind in {kind for kind, _way in THEIR_WAYS}:
            found = decrypt(sealed, [cast.people[kind].pair])
            assert (found.content, found.authenticated) == (ENTITY, THEIR_CIPHERS[cipher])


@pytest.mark.parametrize(("kind", "way"), THEIR_WAYS)
def test_each_of_its_ways_to_a_reader(cast: Cast, kind: str, way: str) -> None:
    assert decrypt(cast.batch.result(f"seal-{kind}-{way}"), [cast.people[kind].pair]).content == ENTITY


# --- what we seal, it opens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("reader", READERS)
def test_it_opens_what_we_seal(cast: Cast, cipher: CipherName, reader: str) -> None:
    """To all at once; each of them opens it, by OAEP where that was chosen."""
    assert cast.batch.result(f"open-{cipher}-{reader}") == ENTITY
    sealed = (cast.batch.folder / f"open-{cipher}-{reader}.cms").read_bytes()
    assert (oids.RSA_OAEP in sealed and mask(oids.SHA256) in sealed) is (reader == "rsa-oaep")


def test_it_notices_a_change_in_what_we_seal(cast: Cast) -> None:
    assert "Error finalising cipher" in cast.batch.answers["open-bent"]


# --- the people of RFC 9216 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("author", "reader"), RFC9216)
def test_the_people_of_rfc_9216_write_to_each_other(cast: Cast, author: str, reader: str) -> None:
    signed = shapes.cms_mail(cast.batch.result(f"rfc9216-{author}")).replace(
        b"ann@inside.test", f"{author}@smime.example".encode()
    )
    root = rfc9216.root_of(author).der
    assert smime.open(signed, [], [root], AT + 300, parse_address(f"{author}@smime.example")).verdict.signed_ok
    pair = (rfc9216.key(f"{reader}.encrypt"), rfc9216.certificate(f"{reader}.encrypt").der)
    assert decrypt(cast.batch.result(f"rfc9216-to-{reader}"), [pair]).content == ENTITY
    assert cast.batch.result(f"rfc9216-open-{reader}") == ENTITY
