"""Passwords and one-time codes: made, folded, weighed, and used to wrap a secret.

Not the place that decides who may try how often (``accounts``). Argon2id is RFC 9106; passwords are prepared as
OpaqueString (RFC 8265 4.2), so that the same words typed on two keyboards are the same password.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import struct
import unicodedata

import attrs
from argon2.exceptions import Argon2Error, InvalidHash
from argon2.low_level import Type, hash_secret, hash_secret_raw, verify_secret
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from securegw.mail.errors import SealBroken, WeakPassword, WrongPassword

# No 0 O, 1 I L, and no U, which looks like V: what is read aloud or copied by hand is read right.
CODE_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH = 10
SHORTEST, LONGEST = 15, 256

HASH = re.compile(r"\$argon2id\$v=19\$m=(\d{1,8}),t=(\d{1,3}),p=(\d{1,3})\$[A-Za-z0-9+/]{11,64}\$[A-Za-z0-9+/]{22,86}")
WRAPPED = struct.Struct(">BIBB16s12s")
VERSION = 1
MOST_MEMORY, MOST_TIME = 1_048_576, 16


@attrs.frozen
class Cost:
    """What one try costs: ``memory`` in KiB, ``time`` in passes, ``lanes`` in parallel (RFC 9106 4)."""

    memory: int = 65_536
    time: int = 3
    lanes: int = 4

    @property
    def is_bearable(self) -> bool:
        """What was stored may not cost more than this, whoever wrote it."""
        return self.memory <= MOST_MEMORY and 0 < self.time <= MOST_TIME and 0 < 8 * self.lanes <= self.memory


def new_code() -> str:
    """A one-time code such as K7Q4-M2XB-9T: 49 bits, meant for a few tries only."""
    letters = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
    return f"{letters[:4]}-{letters[4:8]}-{letters[8:]}"


def fold_code(text: str) -> str:
    """The code as it is compared: capitals, without what people put between the groups."""
    return re.sub(r"[\s\-\u2010-\u2015\u2212._]+", "", text[:LONGEST]).upper()


def prepare(password: str) -> bytes:
    """OpaqueString: NFC, every space a plain space; case, width and leading spaces stay (RFC 8265 4.2.2)."""
    spaced = "".join(" " if unicodedata.category(letter) == "Zs" else letter for letter in password)
    return unicodedata.normalize("NFC", spaced).encode("utf-8", "surrogatepass")


def wrap(password: str, secret: bytes, cost: Cost | None = None) -> bytes:
    """The secret, so that only this password opens it again. Opening *is* the password check."""
    if not 0 < len(password) <= LONGEST:
        raise WeakPassword(detail="empty or too long")
    cost = cost or Cost()
    salt, nonce = os.urandom(16), os.urandom(12)
    head = WRAPPED.pack(VERSION, cost.memory, cost.time, cost.lanes, salt, nonce)
    return head + AESGCM(_key(password, salt, cost)).encrypt(nonce, secret, head)


def wrapped_of_nobody(size: int, cost: Cost) -> bytes:
    """What looks like a wrapped secret of this size and opens with no password: dear to try, for nothing to make."""
    head = WRAPPED.pack(VERSION, cost.memory, cost.time, cost.lanes, os.urandom(16), os.urandom(12))
    return head + os.urandom(size + 16)


def unwrap(password: str, wrapped: bytes) -> bytes:
    head = wrapped[: WRAPPED.size]
    if len(wrapped) < WRAPPED.size + 16 or head[0] != VERSION:
        raise SealBroken(detail="wrapped secret: not one of ours")
    _version, memory, time, lanes, salt, nonce = WRAPPED.unpack(head)
    cost = Cost(memory, time, lanes)
    if not cost.is_bearable:
        raise SealBroken(detail="wrapped secret: cost out of bounds")
    key = _key(password, salt, cost)
    try:
        return AESGCM(key).decrypt(nonce, wrapped[WRAPPED.size :], head)
    except InvalidTag:
        raise WrongPassword from None


def hash_password(password: str, cost: Cost | None = None) -> str:
    """What is kept of a password that opens nothing and is only compared: its Argon2id hash with salt and cost."""
    if not 0 < len(password) <= LONGEST:
        raise WeakPassword(detail="empty or too long")
    cost = cost or Cost()
    hashed = hash_secret(prepare(password), os.urandom(16), cost.time, cost.memory, cost.lanes, 32, Type.ID)
    return hashed.decode("ascii")


def hash_of_nobody(cost: Cost) -> str:
    """What looks like the hash of a password and is of none: dear to try, for nothing to make."""
    salt, digest = (base64.b64encode(os.urandom(size)).decode("ascii").rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19$m={cost.memory},t={cost.time},p={cost.lanes}${salt}${digest}"


def check_password(password: str, hashed: str) -> bool:
    """Whether the hash is of this password. A hash that is none, or costs too much, is of no password."""
    found = HASH.fullmatch(hashed)
    if found is None or not Cost(*map(int, found.groups())).is_bearable:
        return False
    try:
        return verify_secret(hashed.encode("ascii"), prepare(password[: LONGEST + 1]), Type.ID)
    except (Argon2Error, InvalidHash):
        return False


def _key(password: str, salt: bytes, cost: Cost) -> bytes:
    # Nothing longer can ever have been set; cutting it costs a stranger's megabyte no more time than a password.
    given = prepare(password[: LONGEST + 1])
    return hash_secret_raw(given, salt, cost.time, cost.memory, cost.lanes, 32, Type.ID)


# Words that fill a long password without making it hard to guess.
KNOWN = frozenset(
    word
    for line in (
        "password passwort passwd kennwort geheim secret letmein welcome willkommen changeme default login",
        "qwertz qwerty qwertyuiop qwertzuiop asdfghjkl yxcvbnm zxcvbnm admin administrator master user test",
        "iloveyou ichliebedich schatz hallo hello football fussball baseball dragon monkey sunshine princess",
        "summer sommer winter hospital spital klinik securegw letter brief correct horse battery staple",
        "abc abcd abcdef abcdefgh abcdefghijklmnopqrstuvwxyz pass",
    )
    for word in line.split()
)
RUNS = ("01234567890123456789", "98765432109876543210", "abcdefghijklmnopqrstuvwxyz", "qwertzuiopasdfghjklyxcvbnm")
FOLDED = str.maketrans("@431!05$7", "aaeiiosst")


def check_strength(password: str, address: str) -> str | None:
    """None if the password may be used, else one word: short, long, control, address, simple or known.

    No rules about digits and signs and no forced change (NIST SP 800-63B-4 3.1.1.2): length, and not a known one.
    """
    if len(password) > LONGEST:
        return "long"
    text = prepare(password).decode("utf-8", "replace")
    if len(text) < SHORTEST:
        return "short"
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        return "control"
    plain, folded = _letters(text.casefold()), _letters(text.casefold().translate(FOLDED))
    if len(set(plain)) < 5:
        return "simple"
    if _mostly(plain, _address_words(address)):
        return "address"
    return "known" if _mostly(plain, KNOWN) or _mostly(folded, KNOWN) else None


def _letters(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum())


def _address_words(address: str) -> frozenset[str]:
    words = re.split(r"[^0-9a-z]+", address.casefold())
    whole = "".join(words)
    return frozenset(word for word in (*words, whole) if len(word) > 2)


def _mostly(plain: str, words: frozenset[str]) -> bool:
    """True if little is left of the password once the known words and the runs of neighbours are taken out."""
    left = plain
    for word in sorted(words, key=len, reverse=True):
        left = left.replace(word, "")
    hit = left != plain
    for size in range(12, 3, -1):
        for run in RUNS:
            for start in range(len(run) - size + 1):
                left = left.replace(run[start : start + size], "")
    return (hit or words is KNOWN) and len(left) < 8
