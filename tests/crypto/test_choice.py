"""How a mail is sealed, by what its readers' programs have announced: one cipher for all, each with his own way."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import pytest

from securegw.crypto import ber, der, oids, smime
from securegw.crypto.algorithms import mask
from securegw.crypto.capabilities import announcement, read_capabilities
from securegw.crypto.choice import Choice, choose, way_of_key
from securegw.crypto.cms_decrypt import decrypt
from securegw.crypto.cms_parts import decoded
from securegw.crypto.cms_write import encrypt_cbc, encrypt_gcm
from securegw.crypto.key_transport import OAEP_IDENTIFIER, PKCS1_IDENTIFIER
from securegw.mail.address import parse_address
from securegw.mail.message import read
from securegw.workers.parcels import HEAD, pack, unpack
from tests.crypto.people import NOW, Authority, Person

GCM, GCM128, CBC, CBC128 = "aes-256-gcm", "aes-128-gcm", "aes-256-cbc", "aes-128-cbc"


def test_a_choice_goes_to_the_process_that_seals() -> None:
    """Values that cannot be packed there would keep every mail in the queue."""
    for choice in (Choice(), Choice("aes-256-gcm", {b"certificate": "rsa"}), choose({})):
        head, *behind = pack(choice, {})
        assert unpack(head[HEAD:], b"".join(behind), {}) == choice


@pytest.mark.parametrize(
    ("lists", "cipher"),
    [
        ([], CBC),
        ([()], CBC),
        ([(CBC, CBC128, "3des-cbc")], CBC),
        ([(CBC128, "3des-cbc")], CBC),  # never weaker, whatever he asks for
        ([("3des-cbc",)], CBC),
        ([("chacha20-poly1305",)], CBC),  # read, not written
        ([(GCM, CBC)], GCM),
        ([(CBC, GCM)], GCM),  # what notices a change comes first
        ([(GCM128, CBC)], GCM128),
        ([(GCM128, GCM)], GCM128),  # his own order counts
        ([(GCM, GCM128)], GCM),
        ([(GCM, GCM128), (GCM128, CBC)], GCM128),  # what both open
        ([(GCM, CBC), (GCM128, CBC)], CBC),
        ([(GCM, GCM128), (GCM128, GCM)], GCM),  # they do not agree: the longer key
        ([(GCM, GCM128), ()], CBC),  # of one of them nothing is known
        ([(GCM, CBC), (CBC,)], CBC),
    ],
)
def test_one_cipher_that_all_open(lists: Sequence[Sequence[str]], cipher: str, authority: Authority) -> None:
    certificates = [authority.person(f"r{number}@outside.test", "p-256").der for number in range(len(lists))]
    assert choose(dict(zip(certificates, lists, strict=True))).cipher == cipher


@pytest.mark.parametrize(
    ("kind", "announced", "way"),
    [
        ("rsa-2048", (), "rsa"),
        ("rsa-2048", (GCM, "ecdh-sha256"), "rsa"),
        ("rsa-2048", (GCM, "rsa-oaep"), "rsa-oaep"),
        ("p-256", (), "ecdh-sha256"),
        ("p-256", ("rsa-oaep",), "ecdh-sha256"),
        ("p-256", ("hkdf-sha256",), "ecdh-sha256"),  # RFC 8418 has HKDF for its two curves alone
        ("p-256", ("ecdh-sha384", "ecdh-sha256"), "ecdh-sha384"),
        ("p-256", ("ecdh-sha256+aes-128-wrap",), "ecdh-sha256+aes-128-wrap"),
        ("p-384", (), "ecdh-sha384"),
        ("p-384", ("ecdh-sha256",), "ecdh-sha256"),
        ("p-521", (GCM,), "ecdh-sha512"),
        ("x25519", (), "hkdf-sha256"),
        ("x25519", ("ecdh-sha256",), "ecdh-sha256"),
        ("x25519", ("hkdf-sha384+aes-192-wrap",), "hkdf-sha384+aes-192-wrap"),
        ("x448", (), "hkdf-sha512"),
        ("x448", ("hkdf-sha256", "hkdf-sha512"), "hkdf-sha256"),
    ],
)
def test_each_reader_by_his_own_way(
    kind: str, announced: tuple[str, ...], way: str, authority: Authority, bob: Person
) -> None:
    """Chosen, written, and opened; beside somebody of whom nothing is known."""
    reader = authority.person("ed@inside.test", kind)
    assert way_of_key(reader.der, announced) == way
    choice = choose({reader.der: announced, bob.der: ()})
    assert choice.ways == {reader.der: way, bob.der: "rsa"}
    for sealed in (encrypt_cbc(b"x", [reader.der, bob.der], choice), encrypt_gcm(b"x", [bob.der, reader.der], choice)):
        for one in (reader, bob):
            assert decrypt(sealed, [one.pair]).content == b"x"
        assert PKCS1_IDENTIFIER in sealed and (OAEP_IDENTIFIER in sealed) is (way == "rsa-oaep")
        assert (oids.AES128_WRAP in sealed, oids.AES192_WRAP in sealed) == ("128" in way, "192" in way)


OF_CIPHER = {GCM: oids.AES256_GCM, GCM128: oids.AES128_GCM, CBC: oids.AES256_CBC}


@pytest.mark.parametrize(("cipher", "kind"), OF_CIPHER.items())
def test_the_cipher_that_was_chosen_is_in_the_mail(cipher: str, kind: bytes, mail: bytes, bob: Person) -> None:
    sealed = smime.encrypt(mail, [bob.der], choose({bob.der: (cipher,)}))
    assert kind in decoded(read(sealed))
    kinds = {oids.AES256_GCM, oids.AES128_GCM, oids.AES256_CBC, oids.AES128_CBC} - {kind}
    assert not any(other in decoded(read(sealed)) for other in kinds)
    found = smime.open(sealed, [bob.pair], [], NOW, parse_address("ann@inside.test"))
    assert found.raw == mail
    assert ("unauthenticated-cipher" in found.verdict.reasons) is (cipher == CBC)


def test_a_choice_goes_to_other_processes(bob: Person) -> None:
    choice = choose({bob.der: (GCM, "rsa-oaep")})
    assert pickle.loads(pickle.dumps(choice)) == choice


def test_what_we_announce_is_what_we_are_sent(mail: bytes, authority: Authority) -> None:
    """Our own list, read back and chosen by: the best that we open."""
    for kind, way in (("rsa-2048", "rsa-oaep"), ("p-384", "ecdh-sha384")):
        person = authority.person("ed@inside.test", kind)
        words = read_capabilities(ber.whole(announcement(person.der)))
        assert words[:2] == (GCM, GCM128)
        assert choose({person.der: words}) == Choice(GCM, {person.der: way})


def capabilities(*identifiers: bytes) -> tuple[str, ...]:
    return read_capabilities(ber.whole(der.sequence(*identifiers)))


def test_what_is_read_from_a_list() -> None:
    """Thunderbird's, Outlook's and BouncyCastle's ways to write the same; what we do not know is left out."""
    wrap128, wrap256 = der.algorithm(oids.AES128_WRAP), der.algorithm(oids.AES256_WRAP)
    assert capabilities(der.algorithm(oids.AES256_GCM), der.algorithm(oids.AES256_GCM)) == (GCM,)
    assert capabilities(der.algorithm(oids.ECDH_SHA256)) == ("ecdh-sha256",)
    assert capabilities(der.algorithm(oids.ECDH_SHA256, der.NULL)) == ("ecdh-sha256",)
    assert capabilities(der.algorithm(oids.ECDH_SHA256, wrap256)) == ("ecdh-sha256",)
    assert capabilities(der.algorithm(oids.ECDH_SHA256, wrap128)) == ("ecdh-sha256+aes-128-wrap",)
    assert capabilities(der.algorithm(oids.ECDH_SHA256, der.algorithm(oids.DES3_CBC))) == ()
    assert capabilities(der.algorithm(oids.ECDH_SHA1, wrap256), der.algorithm(oids.AES128_CBC)) == (CBC128,)
    assert capabilities(der.algorithm(oids.RSA_OAEP)) == ()  # with SHA-1: not the one that we write
    assert capabilities(der.algorithm(oids.RSA_OAEP, der.sequence(mask(oids.SHA256)))) == ("rsa-oaep",)
    assert capabilities(der.algorithm(oids.RSA_OAEP, der.sequence(mask(oids.SHA384)))) == ()
    assert capabilities(*[der.algorithm(oids.AES256_GCM)] * 65) == ()
    assert capabilities(der.algorithm(oids.ECDH_SHA256, der.octets(b"no wrap"))) == ()
