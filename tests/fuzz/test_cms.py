"""Whatever comes, opening a mail ends quickly and with an answer."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securegw.crypto import ber, carrier, seal, smime
from securegw.crypto.authority import issue, make_authority
from securegw.crypto.certificate import read_certificates
from securegw.crypto.cms_decrypt import decrypt
from securegw.crypto.cms_verify import verify
from securegw.crypto.cms_write import encrypt_cbc, encrypt_gcm, sign
from securegw.crypto.entity import base64_lines
from securegw.mail.address import parse_address
from securegw.mail.errors import BadKey, BrokenCarrier, MailError
from tests.fuzz import atheris_cms, atheris_mime
from tests.fuzz.reshape import reshaped
from tests.support.steps import counted

NOW = 1_790_000_000.0
ANN = parse_address("ann@inside.test")
CA_KEY, CA = make_authority("Fuzz", years=1, now=NOW, kind="p-256")
KEY, DER = issue(CA_KEY, CA, address="ann@inside.test", name="Ann", days=9, now=NOW)
EC_KEY, EC_DER = issue(CA_KEY, CA, address="ann@inside.test", name="Ann", days=9, now=NOW, kind="p-256")
PAIRS = [(KEY, DER), (EC_KEY, EC_DER)]
CONTENT = b"Content-Type: text/plain\r\n\r\nhello\r\n"
SEEDS = [
    encrypt_cbc(CONTENT, [DER]),
    encrypt_gcm(CONTENT, [EC_DER, DER]),
    sign(CONTENT, KEY, DER, [CA], NOW)[0],
    DER,
    b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03\xa0\x80\x30\x80\x00\x00\x00\x00\x00\x00",
]
HEAD = b"From: ann@inside.test\r\nMIME-Version: 1.0\r\n"
TYPES = [
    b"Content-Type: application/pkcs7-mime\r\n",
    b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n",
    b"Content-Type: application/octet-stream; name=smime.p7m\r\n",
]


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """One of the seeds with bytes changed, cut out, doubled or put in."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        size = draw(st.integers(0, 40))
        data[at : at + size] = draw(st.one_of(st.binary(max_size=40), st.just(bytes(data[at : at + 2 * size]))))
    return bytes(data)


def ends_well(work, data: bytes, errors: type[Exception]) -> None:
    """With an answer, and after so many steps and copies as the input is long, but for a fixed part."""
    with counted() as cost, contextlib.suppress(errors):
        work()
    assert cost.steps <= 500 + 20 * len(data)
    assert cost.octets <= 20_000 + 20 * len(data)


@settings(max_examples=300, deadline=None)
@given(st.one_of(bent(), st.binary(max_size=200)))
def test_cms_and_certificates(data: bytes) -> None:
    ends_well(lambda: decrypt(data, PAIRS), data, MailError)
    ends_well(lambda: verify(data, CONTENT), data, MailError)
    ends_well(lambda: verify(data, None), data, MailError)
    ends_well(lambda: ber.whole(data).octets(), data, MailError)
    ends_well(lambda: read_certificates(data), data, BadKey)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(TYPES), bent(), st.booleans())
def test_whole_mails(kind: bytes, data: bytes, encoded: bool) -> None:
    label = b"Content-Transfer-Encoding: base64\r\n\r\n" if encoded else b"\r\n"
    raw = HEAD + kind + label + (base64_lines(data) if encoded else data)
    opened = smime.open(raw, PAIRS, [CA], NOW, ANN)
    assert opened.raw.startswith(HEAD)
    assert not opened.verdict.signed_ok


CRASHES = sorted((Path(__file__).parent.parent / "vectors" / "cms" / "crashes").iterdir())


@pytest.mark.parametrize("file", CRASHES, ids=lambda file: file.stem)
def test_what_once_crashed_ends_well(file: Path) -> None:
    atheris_cms.try_one(file.read_bytes())


@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_reshaped_values_end_well() -> None:
    """What the guided fuzzer does, for a moment and without its engine: values left out, doubled, moved."""
    good = atheris_cms.seeds()
    for number in range(400):
        source = random.Random(number)
        atheris_cms.try_one(reshaped(source, source.choice(good)))


def test_the_walkers_fuzzer_without_its_engine() -> None:
    """Random mails made of the words of MIME, taken apart and put together."""
    for number in range(300):
        source = random.Random(number)
        lines = source.choices(atheris_mime.WORDS, k=source.randrange(1, 25))
        atheris_mime.try_one(source.choice((b"\r\n", b"\n", b"")).join(lines))


def test_the_fuzzer_without_its_engine() -> None:
    """Bent copies of everything that we write, opened."""
    for seed in atheris_cms.seeds():
        for number in range(10):
            atheris_cms.try_one(atheris_cms.bent(random.Random(number), seed))


SIGNED = smime.sign(HEAD + CONTENT, KEY, DER, [], NOW)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(SIGNED)), st.integers(0, 60), st.binary(max_size=30))
def test_a_bent_signed_mail_never_says_something_else(at: int, size: int, text: bytes) -> None:
    raw = SIGNED[:at] + text + SIGNED[at + size :]
    opened = smime.open(raw, PAIRS, [CA], NOW, ANN)
    assert opened.raw == raw
    assert not opened.verdict.signed_ok or b"\r\n\r\nhello\r\n\r\n--" in raw


PRIVATE, PUBLIC = seal.generate()
PACKED = carrier.pack(carrier.Sealing("h.test", "a", "l", PUBLIC, b"k" * 32), CONTENT)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=200), st.integers(0, len(PACKED)).map(lambda at: PACKED[:at] + PACKED[at + 1 :])))
def test_carriers(text: str) -> None:
    ends_well(lambda: carrier.check(b"k" * 32, ["h.test"], text), text.encode("utf-8", "replace"), BrokenCarrier)
