"""``openssl cms`` as the other side of a running gateway: it opens what we close, and we open what it closes.

All papers of the outside person are made by openssl too, so that nothing here rests on our own reading of CMS.
"""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.support.mails import read, send
from tests.support.running import Gateway, admin
from tests.support.sink import Arrived, Sink

if TYPE_CHECKING:
    from tests.peers.conftest import Middle

ANN, CAROL = "ann@inside.test", "carol@partner.test"
TEXT = "Dear Ann,\r\n.dots\r\n..more dots\r\ngr\u00fc\u00dfe marker-662\r\n"
ENTITY = f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{TEXT}".encode()
VERDICT = "X-Securegw-Verdict"

OpenSSL = Callable[..., bytes]


@attrs.frozen
class Papers:
    """Carol's files: her authority, her certificates and keys by kind, and Ann's certificate from the gateway."""

    folder: Path
    ca: Path
    ann: Path
    inside_ca: Path

    def certificate(self, kind: str) -> Path:
        return self.folder / f"{kind}.pem"

    def key(self, kind: str) -> Path:
        return self.folder / f"{kind}.key"


KINDS = {
    "rsa": ("rsa:2048",),
    "rsa3072": ("rsa:3072",),
    "ec": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "ec384": ("ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
    "ec521": ("ec", "-pkeyopt", "ec_paramgen_curve:P-521"),
}
PSS = ("-keyopt", "rsa_padding_mode:pss")
EXTENSIONS = """\
[req]
distinguished_name = name
[name]
[person]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment, keyAgreement
extendedKeyUsage = emailProtection
subjectAltName = email:carol@partner.test
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@pytest.fixture(scope="module")
def openssl() -> OpenSSL:
    """Runs openssl with these words and returns what it wrote."""

    def run(*words: object, given: bytes = b"") -> bytes:
        command = ["openssl", *map(str, words)]
        done = subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stderr.decode()}"
        return done.stdout

    return run


@pytest.fixture(scope="module")
def papers(middle: Middle, openssl: OpenSSL, tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """Made once; Carol's authority is trusted, Ann has a certificate of the internal authority."""
    folder = tmp_path_factory.mktemp("papers")
    (folder / "extensions").write_text(EXTENSIONS)
    found = Papers(folder, folder / "ca.pem", folder / "ann.pem", folder / "inside-ca.pem")
    make_authority(openssl, found)
    for kind, words in KINDS.items():
        make_person(openssl, found, kind, words)
    config = middle.gateway.config
    admin(config, "keys", "import", str(found.ca), "--trust")
    admin(config, "users", "add", ANN, "--name", "Ann Keller")
    admin(config, "keys", "issue", ANN)
    found.ann.write_bytes(openssl("x509", "-inform", "DER", given=middle.gateway.certificate_of(ANN)))
    found.inside_ca.write_bytes(openssl("x509", "-inform", "DER", given=middle.gateway.authority()))
    return found


def make_authority(openssl: OpenSSL, papers: Papers) -> None:
    words = ("-newkey", "rsa:2048", "-noenc", "-keyout", papers.key("ca"), "-subj", "/CN=Partner people")
    uses = (
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
        "-addext",
        "basicConstraints=critical,CA:TRUE",
    )
    openssl(
        "req",
        "-x509",
        "-config",
        papers.folder / "extensions",
        *words,
        *uses,
        "-days",
        900,
        "-out",
        papers.ca,
    )


def make_person(openssl: OpenSSL, papers: Papers, kind: str, words: tuple[str, ...]) -> None:
    request = papers.folder / f"{kind}.csr"
    config = ("-config", papers.folder / "extensions")
    openssl(
        "req", "-new", *config, "-newkey", *words, "-noenc", "-keyout", papers.key(kind),
        "-subj", "/CN=Carol", "-out", request,
    )  # fmt: skip
    openssl(
        "x509", "-req", "-in", request, "-CA", papers.ca, "-CAkey", papers.key("ca"), "-CAcreateserial",
        "-days", 800, "-extfile", papers.folder / "extensions", "-extensions", "person",
        "-out", papers.certificate(kind),
    )  # fmt: skip


def sign(openssl: OpenSSL, papers: Papers, kind: str, *more: str, entity: bytes = ENTITY) -> bytes:
    """A signed entity as a mail program makes it."""
    who = ("-signer", papers.certificate(kind), "-inkey", papers.key(kind))
    return openssl("cms", "-sign", *who, "-md", "sha256", "-crlfeol", *more, given=entity)


def outer(entity: bytes, subject: str, sender: str = CAROL) -> bytes:
    """The entity as a mail from Carol to Ann with CRLF lines."""
    header = f"From: Carol <{sender}>\r\nTo: {ANN}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@partner.test>\r\n"
    lines = entity.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return header.encode() + lines


def arrive(running: Gateway, inside: Sink, raw: bytes) -> Arrived:
    """Hand in a mail from outside and get what Ann gets."""
    send(running.smtp_port, CAROL, ANN, raw, stranger=True)
    return inside.sent_to(ANN)


def words_of(mail: Arrived) -> str:
    return str(read(mail.raw)[VERDICT])


# --- what openssl closes, we open -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "form"),
    [(kind, ()) for kind in KINDS]
    + [("rsa", ("-nodetach",)), ("ec384", ("-nodetach", "-stream")), ("rsa", PSS), ("rsa", ("-nodetach", *PSS))],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_a_signature_by_openssl_is_good(
    running: Gateway, inside: Sink, openssl: OpenSSL, papers: Papers, kind: str, form: tuple[str, ...]
) -> None:
    raw = outer(sign(openssl, papers, kind, *form), f"signed-{kind}")

    got = arrive(running, inside, raw)

    for word in ("encrypted=none", "integrity=good", "trust=good", "identity=good"):
        assert word in words_of(got)
    assert "[signed OK]" in str(read(got.raw)["Subject"])
    assert TEXT.encode() in got.raw


@pytest.mark.parametrize("cipher", ["-aes-128-cbc", "-aes-256-cbc", "-aes-256-gcm", "-aes-128-gcm"])
def test_what_openssl_encrypts_is_opened(
    running: Gateway, inside: Sink, openssl: OpenSSL, papers: Papers, cipher: str
) -> None:
    signed = sign(openssl, papers, "rsa")
    closed = openssl("cms", "-encrypt", cipher, papers.ann, given=signed)
    raw = outer(closed, f"closed{cipher}")
    assert b"marker-662" not in raw

    got = arrive(running, inside, raw)

    for word in ("encrypted=opened", "integrity=good", "trust=good", "identity=good"):
        assert word in words_of(got)
    subject = str(read(got.raw)["Subject"])
    assert "[secure]" in subject
    assert "[signed OK]" in subject
    assert TEXT.encode() in got.raw


def test_oaep_is_opened(running: Gateway, inside: Sink, openssl: OpenSSL, papers: Papers) -> None:
    oaep = ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256")
    closed = openssl("cms", "-encrypt", "-aes-256-cbc", "-recip", papers.ann, *oaep, given=ENTITY)

    got = arrive(running, inside, outer(closed, "oaep"))

    assert "encrypted=opened" in words_of(got)
    assert b"marker-662" in got.raw


def test_a_stream_in_indefinite_lengths_is_opened(
    running: Gateway, inside: Sink, openssl: OpenSSL, papers: Papers
) -> None:
    closed = openssl("cms", "-encrypt", "-stream", "-aes-256-cbc", papers.ann, given=ENTITY)

    got = arrive(running, inside, outer(closed, "stream"))

    assert "encrypted=opened" in words_of(got)
    assert b"marker-662" in got.raw


def test_a_changed_text_is_bad(running: Gateway, inside: Sink, openssl: OpenSSL, papers: Papers) -> None:
    raw = outer(sign(openssl, papers, "rsa"), "changed")
    assert raw.count(b"marker-662") == 1

    got = arrive(running, inside, raw.replace(b"marker-662", b"marker-663"))

    assert "integrity=bad" in words_of(got)
    assert "[signed OK]" not in str(read(got.raw)["Subject"])
    assert b"marker-663" in got.raw  # delivered, but told


def test_another_sender_is_not_the_signer(
    running: Gateway, inside: Sink, openssl: OpenSSL, papers: Papers
) -> None:
    raw = outer(sign(openssl, papers, "rsa"), "other", sender="chief@partner.test")

    got = arrive(running, inside, raw)

    assert "integrity=good" in words_of(got)
    assert "identity=bad" in words_of(got)
    assert "[signed OK]" not in str(read(got.raw)["Subject"])


def test_an_unknown_authority_is_not_trusted(
    running: Gateway, inside: Sink, openssl: OpenSSL, papers: Papers, tmp_path: Path
) -> None:
    (tmp_path / "extensions").write_text(EXTENSIONS)
    others = Papers(tmp_path, tmp_path / "ca.pem", papers.ann, papers.inside_ca)
    make_authority(openssl, others)
    make_person(openssl, others, "rsa", KINDS["rsa"])

    got = arrive(running, inside, outer(sign(openssl, others, "rsa"), "unknown"))

    assert "integrity=good" in words_of(got)
    assert "trust=good" not in words_of(got)
    assert "[signed OK]" not in str(read(got.raw)["Subject"])


def test_a_flipped_bit_in_the_closed_text_shows_nothing(
    running: Gateway, inside: Sink, openssl: OpenSSL, papers: Papers
) -> None:
    der = bytearray(openssl("cms", "-encrypt", "-aes-256-gcm", "-outform", "DER", papers.ann, given=ENTITY))
    der[-40] ^= 1
    head = b"MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=authEnveloped-data\r\n"
    raw = outer(
        head + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(bytes(der)), "flipped"
    )

    got = arrive(running, inside, raw)

    assert "encrypted=failed" in words_of(got)
    assert b"marker-662" not in got.raw


# --- what we close, openssl opens -----------------------------------------------------------------------------


@pytest.fixture
def carol_is_known(running: Gateway, inside: Sink, openssl: OpenSSL, papers: Papers) -> None:
    """She has written a signed mail: now her certificate is learned."""
    arrive(running, inside, outer(sign(openssl, papers, "rsa"), "hello"))


@pytest.mark.usefixtures("carol_is_known")
def test_openssl_opens_and_verifies_our_mail(
    running: Gateway, outside: Sink, openssl: OpenSSL, papers: Papers, tmp_path: Path
) -> None:
    text = "Dear Carol,\r\n.dot\r\ngr\u00fc\u00dfe marker-664\r\n"
    raw = (
        f"From: Ann <{ANN}>\r\nTo: {CAROL}\r\nSubject: [confidential] answer\r\nMessage-ID: <a1@inside.test>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        f"{text}"
    ).encode()

    send(running.smtp_port, ANN, CAROL, raw)
    got = outside.sent_to(CAROL).raw

    assert b"marker-664" not in got
    assert str(read(got)["Subject"]) == "answer"
    file = tmp_path / "mail"
    file.write_bytes(got)
    signed = openssl(
        "cms", "-decrypt", "-in", file, "-recip", papers.certificate("rsa"), "-inkey", papers.key("rsa")
    )
    content = openssl("cms", "-verify", "-CAfile", papers.inside_ca, "-purpose", "smimesign", given=signed)
    assert read(content).get_payload(decode=True) == text.encode()


@pytest.mark.usefixtures("carol_is_known")
def test_nobody_else_opens_our_mail(
    running: Gateway, outside: Sink, openssl: OpenSSL, papers: Papers, tmp_path: Path
) -> None:
    (tmp_path / "extensions").write_text(EXTENSIONS)
    others = Papers(tmp_path, tmp_path / "ca.pem", papers.ann, papers.inside_ca)
    make_authority(openssl, others)
    make_person(openssl, others, "rsa", KINDS["rsa"])
    raw = f"From: {ANN}\r\nTo: {CAROL}\r\nSubject: [confidential] closed\r\n\r\nmarker-665\r\n".encode()
    send(running.smtp_port, ANN, CAROL, raw)
    file = tmp_path / "mail"
    file.write_bytes(outside.sent_to(CAROL).raw)

    other = ("-recip", str(others.certificate("rsa")), "-inkey", str(others.key("rsa")))
    done = subprocess.run(
        ["openssl", "cms", "-decrypt", "-in", str(file), *other], capture_output=True, timeout=60, check=False
    )

    assert b"marker-665" not in done.stdout
    assert done.returncode != 0 or b"multipart/signed" not in done.stdout


def test_openssl_verifies_a_mail_that_is_only_signed(
    running: Gateway, outside: Sink, openssl: OpenSSL, papers: Papers, tmp_path: Path
) -> None:
    raw = f"From: {ANN}\r\nTo: dan@else.test\r\nSubject: [sign] open\r\n\r\nmarker-666, readable\r\n".encode()

    send(running.smtp_port, ANN, "dan@else.test", raw)
    got = outside.sent_to("dan@else.test").raw

    assert read(got).get_content_type() == "multipart/signed"
    file = tmp_path / "mail"
    file.write_bytes(got)
    content = openssl("cms", "-verify", "-in", file, "-CAfile", papers.inside_ca, "-purpose", "smimesign")
    assert b"marker-666, readable" in content
