"""Seals bytes for one holder: HPKE for a person's key pair, AES-256-GCM for the gateway's own master key.

Not passwords (``passwords``) and not mail (``smime``). HPKE is RFC 9180 with ML-KEM-768 + X25519, HKDF-SHA256 and
AES-256-GCM, so that what an outsider keeps today stays closed to tomorrow's computers; the master key is symmetric
(NIST SP 800-38D) and needs no such care. HKDF is RFC 5869.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import stat
import struct
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from securegw.mail.errors import BadKey, SealBroken
from securegw.mail.gathering import Piece, gathered

SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
MLKEM_SEED, X25519_SEED = 64, 32
MLKEM_PUBLIC = 1184
PART = 262_144

MASTER_PREFIX = "securegw-master-1:"
MASTER_FILE = "securegw-master-key"
MASTER_VARIABLE = "SECUREGW_MASTER_KEY"
VERSION, FLOWING = b"\x01", b"\x02"
SALT, NONCE, TAG = 16, 12, 16


def generate() -> tuple[bytes, bytes]:
    """A new key pair: the private half as its two seeds, the public half as both public keys."""
    mlkem, x25519 = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
    private = mlkem.private_bytes_raw() + x25519.private_bytes_raw()
    public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return private, public


def seal(public: bytes, info: bytes, plain: bytes) -> bytes:
    """Only the holder of the private half opens this, and only with the same ``info``."""
    return SUITE.encrypt(plain, _public_key(public), info=info)


def open_sealed(private: bytes, info: bytes, sealed: bytes) -> bytes:
    return PrivateKey(private).open(info, sealed)


class PrivateKey:
    """A private half that opens many texts: made ready once, which takes longer than to open one."""

    def __init__(self, private: bytes) -> None:
        self._key = _private_key(private)

    def open(self, info: bytes, sealed: bytes) -> bytes:
        try:
            return SUITE.decrypt(sealed, self._key, info=info)
        except (InvalidTag, ValueError) as problem:
            raise SealBroken(detail=type(problem).__name__) from None


@lru_cache(maxsize=1024)
def _public_key(public: bytes) -> hpke.MLKEM768X25519PublicKey:
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(public[:MLKEM_PUBLIC])
        x25519 = X25519PublicKey.from_public_bytes(public[MLKEM_PUBLIC:])
    except ValueError as problem:
        raise BadKey(detail=f"public seal key: {problem}") from None
    return hpke.MLKEM768X25519PublicKey(mlkem, x25519)


def _private_key(private: bytes) -> hpke.MLKEM768X25519PrivateKey:
    """Not cached: a private key lives no longer than its use."""
    if len(private) != MLKEM_SEED + X25519_SEED:
        raise BadKey(detail="private seal key: wrong length")
    mlkem = MLKEM768PrivateKey.from_seed_bytes(private[:MLKEM_SEED])
    x25519 = X25519PrivateKey.from_private_bytes(private[MLKEM_SEED:])
    return hpke.MLKEM768X25519PrivateKey(mlkem, x25519)


@attrs.frozen
class MasterKey:
    """The gateway's own secret: everything that must be at rest and can be read by the gateway is sealed with it.

    A sealed text is bound to a ``purpose`` (what it is: "queue-body") and a ``binding`` (which one: the row's id), so
    that whoever can write to the database cannot swap two of them.
    """

    secret: bytes = attrs.field(repr=False)

    @secret.validator
    def _long_enough(self, _attribute: object, value: bytes) -> None:
        if len(value) != 32:
            raise BadKey(detail="master key: 32 bytes are needed")

    @staticmethod
    def new_text() -> str:
        """A fresh master key as one line of text, with a checksum against slips of the pen."""
        secret = os.urandom(32)
        return MASTER_PREFIX + base64.urlsafe_b64encode(secret + _checksum(secret)).decode("ascii")

    @classmethod
    def from_text(cls, text: str) -> MasterKey:
        words = text.strip()
        if not words.startswith(MASTER_PREFIX):
            raise BadKey(f"A master key begins with {MASTER_PREFIX!r}.")
        try:
            whole = base64.urlsafe_b64decode(words[len(MASTER_PREFIX) :].encode("ascii"))
        except (ValueError, binascii.Error):
            raise BadKey("The master key has characters that do not belong there.") from None
        secret, check = whole[:32], whole[32:]
        if len(secret) != 32 or not hmac.compare_digest(check, _checksum(secret)):
            raise BadKey("The master key is incomplete or mistyped.")
        return cls(secret)

    @property
    def name(self) -> str:
        """Tells two master keys apart without saying anything about them."""
        return self.derive("name")[:4].hex()

    def derive(self, purpose: str) -> bytes:
        """32 bytes for another use, for example a MAC."""
        return _derived(self.secret, purpose)

    def seal(self, purpose: str, binding: str, plain: Piece) -> bytes:
        # A fresh key for each text: random nonces under one key would wear out after 2**32 mails (SP 800-38D 8.3).
        salt, nonce = os.urandom(SALT), os.urandom(NONCE)
        cipher = AESGCM(self._one_key(purpose, salt))
        return VERSION + salt + nonce + cipher.encrypt(nonce, plain, _bound(purpose, binding))

    def open(self, purpose: str, binding: str, sealed: bytes) -> bytes:
        start = len(VERSION) + SALT + NONCE
        if sealed[:1] != VERSION or len(sealed) < start + TAG:
            raise SealBroken(detail=f"{purpose}: not a sealed text")
        salt, nonce = sealed[1 : 1 + SALT], sealed[1 + SALT : start]
        try:
            return AESGCM(self._one_key(purpose, salt)).decrypt(
                nonce, memoryview(sealed)[start:], _bound(purpose, binding)
            )
        except InvalidTag:
            raise SealBroken(detail=f"{purpose}: changed, or another master key") from None

    def seal_parts(self, purpose: str, binding: str, raw: bytes, part: int = PART) -> list[bytes]:
        """A long text in parts that cannot be reordered, dropped, doubled or mixed with those of another."""
        starts = range(0, len(raw), part) or range(1)
        return [
            self.seal(purpose, _nth(binding, number, len(starts)), raw[start : start + part])
            for number, start in enumerate(starts)
        ]

    def flow(self, purpose: str, binding: str) -> Flow:
        """A long text that is sealed while it comes."""
        return Flow(self, purpose, binding)

    def open_parts(self, purpose: str, binding: str, parts: Collection[bytes]) -> bytes:
        """All parts of a long text; they may be read one by one while they are opened."""
        return gathered(self.open_each(purpose, binding, parts))

    def open_each(self, purpose: str, binding: str, parts: Collection[bytes]) -> Iterator[bytes]:
        """The same, part by part. SealBroken may come at the last one: until then nothing is sure to be whole."""
        count = len(parts)
        if not count:
            raise SealBroken(detail=f"{purpose}: no parts")
        flows = False
        for number, sealed in enumerate(parts):
            if number == 0 and sealed[:1] == FLOWING:
                flows = True
                if count == 1:
                    raise SealBroken(detail=f"{purpose}: no end")
                yield self.open(purpose, _flowing(binding, "top"), sealed[1:])
            elif flows:
                name = _flowing(binding, str(number - 1), last=number == count - 1)
                yield self.open(purpose, name, sealed)
            else:
                yield self.open(purpose, _nth(binding, number, count), sealed)

    def _one_key(self, purpose: str, salt: bytes) -> bytes:
        return hmac.digest(self.derive("seal:" + purpose), salt, "sha256")


class Flow:
    """Seals a text whose end is not known yet, part by part, with a last one that says so; and a top, which may be
    known last. What comes out are the parts that ``open_parts`` opens, the top first.

    A part is bound to its number and to being the last or not: so none can be reordered, dropped, doubled or mixed.
    """

    def __init__(self, master: MasterKey, purpose: str, binding: str) -> None:
        self._master = master
        self._purpose = purpose
        self._binding = binding
        self._number = 0

    def next(self, plain: Piece, *, last: bool = False) -> bytes:
        name = _flowing(self._binding, str(self._number), last=last)
        self._number += 1
        return self._master.seal(self._purpose, name, plain)

    def top(self, plain: bytes) -> bytes:
        """What stands before the first part."""
        return FLOWING + self._master.seal(self._purpose, _flowing(self._binding, "top"), plain)


@lru_cache(maxsize=256)
def _derived(secret: bytes, purpose: str) -> bytes:
    info = b"securegw " + purpose.encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


def _checksum(secret: bytes) -> bytes:
    return hashlib.sha256(b"securegw master key" + secret).digest()[:4]


def _bound(*words: str) -> bytes:
    """Words with their lengths, so that no two lists of words give the same bytes."""
    return b"".join(struct.pack(">I", len(word.encode())) + word.encode() for word in words)


def _nth(binding: str, number: int, count: int) -> str:
    return f"{binding}/{number}/{count}"


def _flowing(binding: str, place: str, *, last: bool = False) -> str:
    """No name of ``_nth`` looks like this: its last word is a number."""
    return f"{binding}/{place}/{'last' if last else 'on'}"


def load_master_key(path: Path | None, environment: Mapping[str, str] | None = None) -> MasterKey:
    """From the file named, else from systemd's credentials, else from the environment, in that order."""
    known = os.environ if environment is None else environment
    folder = known.get("CREDENTIALS_DIRECTORY")
    if path is not None:
        return MasterKey.from_text(_private_file(path))
    if folder and (Path(folder) / MASTER_FILE).exists():
        return MasterKey.from_text((Path(folder) / MASTER_FILE).read_text("ascii", "replace"))
    if MASTER_VARIABLE in known:
        return MasterKey.from_text(known[MASTER_VARIABLE])
    raise BadKey(
        f"There is no master key: name its file in the settings, give the credential {MASTER_FILE} "
        f"or set {MASTER_VARIABLE}."
    )


def _private_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(1024)
    except OSError as problem:
        raise BadKey(f"The master key file {path} cannot be read: {problem.strerror}.") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BadKey(f"The master key file {path} is open to others: its mode must be 0600.")
    return text.decode("ascii", "replace")
