"""Compressed data: read inside and outside of everything else, and never beyond its bounds (RFC 3274)."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest

from securegw.crypto import ber, cms_compressed, der, oids, smime
from securegw.crypto.cms_compressed import decompress
from securegw.crypto.cms_write import encrypt_gcm, sign
from securegw.mail.address import parse_address
from securegw.mail.errors import NotExamined
from tests.crypto import der_shapes as shapes
from tests.crypto.der_shapes import ENTITY, HEADER, compressed
from tests.crypto.people import NOW, Authority, Person

ANN = parse_address("ann@inside.test")


def part(cms: bytes) -> bytes:
    return shapes.cms_mail(cms, header=b"")


def opened(mail: bytes, *people: Person, root: Authority | None = None) -> smime.Opened:
    return smime.open(mail, [one.pair for one in people], [root.der] if root else [], NOW, ANN)


def test_alone() -> None:
    found = opened(shapes.cms_mail(compressed(ENTITY)))
    assert (found.raw, found.layers) == (HEADER + ENTITY, ("compressed",))
    assert not found.verdict.signed and found.verdict.encrypted == "none"


def test_in_pieces_of_untold_length() -> None:
    inside = shapes.undetermined(0xA0, shapes.in_pieces(0x24, zlib.compress(ENTITY), 5))
    body = shapes.undetermined(
        der.SEQUENCE,
        der.integer(0),
        der.algorithm(oids.ZLIB),
        shapes.undetermined(der.SEQUENCE, oids.DATA, inside),
    )
    cms = shapes.undetermined(der.SEQUENCE, oids.COMPRESSED_DATA, shapes.undetermined(0xA0, body))
    assert opened(shapes.cms_mail(cms)).raw == HEADER + ENTITY


def test_inside_encryption(bob: Person) -> None:
    found = opened(shapes.cms_mail(encrypt_gcm(part(compressed(ENTITY)), [bob.der])), bob)
    assert (found.raw, found.layers) == (HEADER + ENTITY, ("encrypted", "compressed"))
    assert found.verdict.encrypted == "opened"


def test_around_encryption(bob: Person) -> None:
    found = opened(shapes.cms_mail(compressed(part(encrypt_gcm(ENTITY, [bob.der])))), bob)
    assert (found.raw, found.layers) == (HEADER + ENTITY, ("compressed", "encrypted"))


@pytest.mark.parametrize("detached", [True, False])
def test_inside_a_signature(ann: Person, authority: Authority, detached: bool) -> None:
    """What was signed is the packed text; the content comes out of a good one only."""
    entity = part(compressed(ENTITY))
    der_, _ = sign(entity, ann.key, ann.der, [], NOW, detached=detached)
    mail = shapes.beside(der_, entity) if detached else shapes.cms_mail(der_)
    found = opened(mail, root=authority)
    assert found.verdict.signed_ok and found.raw == HEADER + ENTITY
    assert found.layers == ("signed" if detached else "opaque", "compressed")
    assert found.certificates == (ann.der,)
    other = shapes.beside(der_, part(compressed(ENTITY.replace(b"fine", b"grim"))))
    bad = opened(other, root=authority)
    assert bad.raw == other and not bad.verdict.signed_ok


@pytest.mark.parametrize("detached", [True, False])
def test_around_a_signature(ann: Person, authority: Authority, detached: bool) -> None:
    der_, _ = sign(ENTITY, ann.key, ann.der, [], NOW, detached=detached)
    inner = shapes.beside(der_, header=b"") if detached else part(der_)
    found = opened(shapes.cms_mail(compressed(inner)), root=authority)
    assert found.verdict.signed_ok
    assert found.raw == HEADER + (inner if detached else ENTITY)


def test_a_signature_under_one_that_was_unpacked_does_not_count(
    ann: Person, eve: Person, authority: Authority
) -> None:
    inner, _ = sign(ENTITY, ann.key, ann.der, [], NOW, detached=False)
    outer, _ = sign(part(compressed(part(inner))), eve.key, eve.der, [], NOW, detached=False)
    verdict = opened(shapes.cms_mail(outer), root=authority).verdict
    assert (verdict.signer, verdict.identity) == ("CN=eve@evil.test", "bad")


def test_threat_5_5_28_bombs() -> None:
    """A hundred times its size at most, and 200 MB at most; nothing is unpacked first and counted then."""
    bomb = compressed(b"", packed=zlib.compress(bytes(50_000_000), 9))
    tracemalloc.start()
    try:
        with pytest.raises(NotExamined):
            decompress(bomb)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    mail = shapes.cms_mail(bomb)
    found = opened(mail)
    assert (found.raw, found.verdict.reasons) == (mail, ("not-examined",))


def test_threat_5_5_28_the_bounds_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    text = bytes(range(256)) * 40
    packed = zlib.compress(text)
    times = len(text) // len(packed)
    for name, enough, less in (("MOST_TIMES", times + 1, times), ("MOST_BYTES", len(text), len(text) - 1)):
        monkeypatch.setattr(cms_compressed, name, enough)
        assert decompress(compressed(text)) == text
        monkeypatch.setattr(cms_compressed, name, less)
        with pytest.raises(NotExamined):
            decompress(compressed(text))
        monkeypatch.undo()


def test_layers_of_compression_are_bounded() -> None:
    entity = ENTITY
    for _ in range(7):
        entity = part(compressed(entity))
    found = opened(HEADER + entity)
    assert found.layers == ("compressed",) * 5
    assert found.verdict.reasons == ("too-many-layers",)


@pytest.mark.parametrize(
    "cms",
    [
        compressed(b"", packed=b""),
        compressed(b"", packed=b"no zlib"),
        compressed(b"", packed=zlib.compress(ENTITY)[:-1]),
        compressed(b"", packed=zlib.compress(ENTITY) + b"more"),
        compressed(b"", packed=zlib.compress(ENTITY)[:-4] + bytes(4)),
        compressed(ENTITY, how=der.oid("1.2.3.4")),
        compressed(b"no mime entity"),
        shapes.content_info(oids.COMPRESSED_DATA, der.sequence(der.integer(0))),
    ],
)
def test_broken(cms: bytes) -> None:
    mail = shapes.cms_mail(cms)
    found = opened(mail)
    assert found.raw == mail and found.verdict.reasons[0] in ("not-examined", "seal-broken")


def test_only_compressed_data_is_unpacked() -> None:
    with pytest.raises(NotExamined):
        decompress(shapes.content_info(oids.SIGNED_DATA, der.sequence()))
    assert ber.whole(compressed(ENTITY)).tag == der.SEQUENCE
