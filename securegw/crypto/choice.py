"""Chooses how a mail is sealed: one content cipher that all its readers open, and for each of them the way of the key.

Not what programs announce (``capabilities``) and not the sealing (``cms_write``). RFC 8551 2.5.2 and 2.7.1: among what
a reader announces his own order counts. Two things come before it: a cipher that notices a change is used wherever it
can be (EFAIL, threats 30), and without one it is AES-256-CBC, however weak the ciphers are that somebody asks for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, TypeAlias

import attrs
from cryptography.hazmat.primitives.asymmetric import rsa

from securegw.crypto.capabilities import AGREEMENT_WORDS, OAEP
from securegw.crypto.certificate import bound_to, public_key
from securegw.crypto.key_agreement import Agreement, default_agreement, takes

CipherName: TypeAlias = Literal["aes-256-gcm", "aes-128-gcm", "aes-256-cbc"]
AUTHENTICATED: tuple[CipherName, ...] = ("aes-256-gcm", "aes-128-gcm")
CIPHERS: tuple[CipherName, ...] = (*AUTHENTICATED, "aes-256-cbc")
PKCS1 = "rsa"


@attrs.frozen
class Choice:
    """The content cipher, and for certificates whose owners announced one the way of the key, in a word."""

    cipher: CipherName = "aes-256-cbc"
    ways: Mapping[bytes, str] = attrs.field(factory=dict)


def choose(announced: Mapping[bytes, Sequence[str]]) -> Choice:
    """For all certificates of one mail, each with what its owner's program announced: nothing if that is not known."""
    ways = {certificate: way_of_key(certificate, words) for certificate, words in announced.items()}
    return Choice(_cipher(list(announced.values())), ways)


def _cipher(lists: Sequence[Sequence[str]]) -> CipherName:
    """Where several readers differ in what they like best, the sum of their ranks decides, then the longer key."""
    shared = [one for one in AUTHENTICATED if lists and all(one in words for words in lists)]
    return min(shared, key=lambda one: sum(words.index(one) for words in lists), default="aes-256-cbc")


def way_of_key(certificate: bytes, announced: Collection[str] = ()) -> str:
    """OAEP where it is announced or the key allows nothing else; of the agreements the first that fits the key."""
    public = public_key(certificate)
    if isinstance(public, rsa.RSAPublicKey):
        return OAEP if OAEP in announced or bound_to(certificate) == "oaep" else PKCS1
    return _word(agreement_for(certificate, announced))


def agreement_for(certificate: bytes, announced: Collection[str] = ()) -> Agreement:
    """How to agree on a key with the owner of a certificate; raises BadKey if his key agrees on none."""
    public = public_key(certificate)
    fitting = (AGREEMENT_WORDS[word] for word in announced if word in AGREEMENT_WORDS)
    return next((one for one in fitting if takes(public, one)), None) or default_agreement(public)


def _word(agreement: Agreement) -> str:
    return next(word for word, one in AGREEMENT_WORDS.items() if one == agreement)
