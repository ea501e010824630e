"""Who may ask by SNMP: communities of version 2c, and users of version 3 with keys (RFC 3414, RFC 3826, RFC 7860).

Users always authenticate and encrypt: HMAC with SHA, SHA-256 or SHA-512, and AES-128. Secrets stand in a file of
their own, which nobody else may read.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import attrs
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

try:
    from cryptography.hazmat.decrepit.ciphers.modes import CFB
except ImportError:  # where it has not moved yet
    from cryptography.hazmat.primitives.ciphers.modes import CFB

MEGABYTE = 1 << 20
SHORTEST = 8  # of a password (RFC 3414 11.2)
TAGS = {"sha": 12, "sha256": 24, "sha512": 48}  # bytes of the HMAC that are sent
HASHES = {"sha": "sha1", "sha256": "sha256", "sha512": "sha512"}
FORMS = 'lines "community NAME" or "user NAME SHA-256 PASSWORD AES PASSWORD"'

_USER = re.compile(r"user ([!-~]{1,32}) (SHA|SHA-256|SHA-512) (\S+) AES (\S+)")
_COMMUNITY = re.compile(r"community ([!-~]{1,64})")


class BadSecrets(Exception):
    """The file with the secrets cannot be used; the sentence names it and the line, and no secret."""


@attrs.frozen
class User:
    """A user with her keys, made for one engine."""

    name: bytes
    hash: str
    auth_key: bytes = attrs.field(repr=False)
    priv_key: bytes = attrs.field(repr=False)

    @property
    def tag_size(self) -> int:
        return TAGS[self.hash]

    def sign(self, message: bytes) -> bytes:
        """The authentication of a whole message in which its place is filled with zeros."""
        return hmac.digest(self.auth_key, message, HASHES[self.hash])[: self.tag_size]

    def encrypt(self, text: bytes, boots: int, seconds: int, salt: bytes) -> bytes:
        vector = boots.to_bytes(4) + seconds.to_bytes(4) + salt  # RFC 3826 3.1.2.1
        encryptor = Cipher(AES(self.priv_key), CFB(vector)).encryptor()
        return encryptor.update(text) + encryptor.finalize()

    def decrypt(self, text: bytes, boots: int, seconds: int, salt: bytes) -> bytes:
        vector = boots.to_bytes(4) + seconds.to_bytes(4) + salt
        decryptor = Cipher(AES(self.priv_key), CFB(vector)).decryptor()
        return decryptor.update(text) + decryptor.finalize()


@attrs.frozen
class Master:
    """A user with keys that are made for no engine yet (RFC 3414 2.6: the keys Ku)."""

    name: bytes
    hash: str
    auth: bytes = attrs.field(repr=False)
    priv: bytes = attrs.field(repr=False)

    def at(self, engine: bytes) -> User:
        auth, priv = (localize(self.hash, key, engine) for key in (self.auth, self.priv))
        return User(self.name, self.hash, auth, priv[:16])


@attrs.frozen
class Secrets:
    """All that may be asked with; ``masters`` are the users, for engines that are not ours."""

    communities: tuple[bytes, ...] = ()
    users: Mapping[bytes, User] = attrs.field(factory=dict)
    masters: Mapping[bytes, Master] = attrs.field(factory=dict)

    def is_community(self, name: bytes) -> bool:
        good = [hmac.compare_digest(name, known) for known in self.communities]
        return any(good)


def read_secrets(file: Path, engine: bytes) -> Secrets:
    """Read the file and make the users' keys for this engine; raises BadSecrets."""
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            text = opened.read(1 << 16).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSecrets(f"{file}: cannot be read") from error
    if stat.S_IMODE(mode) & 0o077:
        raise BadSecrets(f"{file}: others may read it; its mode must be 0600")
    communities: list[bytes] = []
    masters: dict[bytes, Master] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = " ".join(line.split())
        if not words or words.startswith("#"):
            continue
        if found := _COMMUNITY.fullmatch(words):
            communities.append(found[1].encode())
        elif (found := _USER.fullmatch(words)) and min(len(found[3]), len(found[4])) >= SHORTEST:
            hash = found[2].lower().replace("-", "")
            auth, priv = (stretched(hash, password) for password in (found[3], found[4]))
            masters[found[1].encode()] = Master(found[1].encode(), hash, auth, priv)
        else:
            raise BadSecrets(f"{file}: line {number}: wanted: {FORMS}, passwords of {SHORTEST} or more letters")
    return Secrets(tuple(communities), {name: master.at(engine) for name, master in masters.items()}, masters)


def stretched(hash: str, password: str) -> bytes:
    """The key of a password: the digest of a megabyte of it (RFC 3414 A.2)."""
    raw = password.encode()
    repeated = raw * (MEGABYTE // len(raw) + 1)
    return hashlib.new(HASHES[hash], repeated[:MEGABYTE]).digest()


def localize(hash: str, key: bytes, engine: bytes) -> bytes:
    """That key at one engine (RFC 3414 2.6): who learns it there knows nothing of the others."""
    return hashlib.new(HASHES[hash], key + engine + key).digest()
