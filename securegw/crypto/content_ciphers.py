"""The table of content ciphers: how each opens, and the two with which we seal.

Not how the key for the content gets to the recipient (``key_transport``, ``key_agreement``). RFC 3565 (AES-CBC),
RFC 5084 (AES-GCM), RFC 8103 (ChaCha20-Poly1305, to read only), RFC 3370 5.1 (3DES, to read only). RC2 stays closed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import (
    AEADEncryptionContext,
    Cipher,
    CipherContext,
    algorithms,
    modes,
)
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.utils import CryptographyDeprecationWarning

from securegw.crypto import der, oids
from securegw.crypto.algorithms import Algorithm
from securegw.mail.errors import SealBroken
from securegw.mail.gathering import Piece, steps

with warnings.catch_warnings():
    warnings.simplefilter("ignore", CryptographyDeprecationWarning)
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES

BLOCK, TAG, NONCE, KEY = 16, 16, 12, 32
# A short code can be guessed; RFC 5084 3.2 allows 12 to 16 bytes.
SHORTEST_TAG = 12


@attrs.frozen
class Sealed:
    """A sealed content as it came: the cipher with its parameters, the text, and for some a code and what it covers."""

    cipher: Algorithm
    text: bytes = attrs.field(repr=False)
    bound: bytes = b""
    mac: bytes = b""


@attrs.frozen
class ContentCipher:
    """A content cipher: its name, key length in bytes, whether a change is noticed, and how it opens."""

    name: str
    length: int
    authenticated: bool
    open: Callable[[bytes, Sealed], bytes]


def _open_aes(key: bytes, sealed: Sealed) -> bytes:
    return _open_blocks(Cipher(algorithms.AES(key), modes.CBC(_iv(sealed, BLOCK))), sealed, BLOCK)


def _open_3des(key: bytes, sealed: Sealed) -> bytes:
    return _open_blocks(Cipher(TripleDES(key), modes.CBC(_iv(sealed, 8))), sealed, 8)


def _iv(sealed: Sealed, size: int) -> bytes:
    iv = sealed.cipher.needed(der.OCTETS).content
    if len(iv) != size:
        raise SealBroken
    return iv


def _open_blocks(cipher: Cipher[modes.CBC], sealed: Sealed, block: int) -> bytes:
    """RFC 5652 6.3: the last block is filled up with bytes that say how many they are."""
    if not sealed.text or len(sealed.text) % block:
        raise SealBroken
    plain = cipher.decryptor().update(sealed.text)
    fill = plain[-1]
    if not 0 < fill <= block or plain[-fill:] != bytes((fill,)) * fill:
        raise SealBroken
    return plain[:-fill]


def _open_gcm(key: bytes, sealed: Sealed) -> bytes:
    nonce = sealed.cipher.needed(der.SEQUENCE).parts(1, 2)[0].expect(der.OCTETS).content
    if not SHORTEST_TAG <= len(sealed.mac) <= TAG or not 8 <= len(nonce) <= 64:
        raise SealBroken
    mode = modes.GCM(nonce, sealed.mac, min_tag_length=SHORTEST_TAG)
    cipher = Cipher(algorithms.AES(key), mode).decryptor()
    if sealed.bound:
        cipher.authenticate_additional_data(sealed.bound)
    plain = cipher.update(sealed.text)
    try:
        cipher.finalize()
    except InvalidTag:
        raise SealBroken from None
    return plain


def _open_chacha(key: bytes, sealed: Sealed) -> bytes:
    nonce = sealed.cipher.needed(der.OCTETS).content
    if len(sealed.mac) != TAG or len(nonce) != NONCE:
        raise SealBroken
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed.text + sealed.mac, sealed.bound or None)
    except InvalidTag:
        raise SealBroken from None


CIPHERS: Mapping[bytes, ContentCipher] = MappingProxyType(
    {
        oids.AES128_CBC: ContentCipher("aes-128-cbc", 16, False, _open_aes),
        oids.AES192_CBC: ContentCipher("aes-192-cbc", 24, False, _open_aes),
        oids.AES256_CBC: ContentCipher("aes-256-cbc", 32, False, _open_aes),
        oids.DES3_CBC: ContentCipher("3des-cbc", 24, False, _open_3des),
        oids.AES128_GCM: ContentCipher("aes-128-gcm", 16, True, _open_gcm),
        oids.AES192_GCM: ContentCipher("aes-192-gcm", 24, True, _open_gcm),
        oids.AES256_GCM: ContentCipher("aes-256-gcm", 32, True, _open_gcm),
        oids.CHACHA20_POLY1305: ContentCipher("chacha20-poly1305", 32, True, _open_chacha),
    }
)


class ClosedText:
    """A content that is sealed when it is wanted, piece by piece; how long it will be is known before."""

    def __init__(self, cipher: AEADEncryptionContext | CipherContext, content: Iterable[Piece], length: int) -> None:
        self._cipher = cipher
        self._content = content
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._content:
            for step in steps(piece):
                yield self._cipher.update(step)
        yield self._cipher.finalize()


class ClosedMac:
    """The code of a text, which is there when the text has been sealed."""

    def __init__(self, cipher: AEADEncryptionContext) -> None:
        self._cipher = cipher

    def __len__(self) -> int:
        return len(der.octets(bytes(TAG)))

    def __iter__(self) -> Iterator[bytes]:
        yield der.octets(self._cipher.tag)


@attrs.frozen
class Closed:
    """A content that we seal: its key, the algorithm, the text, and the code if there is one."""

    key: bytes = attrs.field(repr=False)
    identifier: bytes
    text: ClosedText
    mac: tuple[ClosedMac, ...] = ()


def close_cbc(content: Sequence[Piece]) -> Closed:
    key, iv = os.urandom(KEY), os.urandom(BLOCK)
    size = sum(map(len, content))
    fill = BLOCK - size % BLOCK
    cipher = Cipher(algorithms.AES256(key), modes.CBC(iv)).encryptor()
    text = ClosedText(cipher, (*content, bytes((fill,)) * fill), size + fill)
    return Closed(key, der.algorithm(oids.AES256_CBC, der.octets(iv)), text)


def close_gcm(content: Sequence[Piece], length: int = KEY) -> Closed:
    """``length`` is that of the key in bytes: 32 or 16."""
    key, nonce = os.urandom(length), os.urandom(NONCE)
    # Not the one-shot form: that would hold the interpreter for the whole of a large mail.
    cipher = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    text = ClosedText(cipher, content, sum(map(len, content)))
    parameters = der.sequence(der.octets(nonce), der.integer(TAG))
    kind = oids.AES256_GCM if length == KEY else oids.AES128_GCM
    return Closed(key, der.algorithm(kind, parameters), text, (ClosedMac(cipher),))
