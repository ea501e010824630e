"""One sealing for many mails: a ladder of keys, whose foot is sealed for a mailbox, with a rung for each mail.

Not the sealing of a mail (``mailbox``). A rung gives the key of one mail and the next rung (HKDF-Expand, RFC 5869 2.3),
but nothing leads down: whoever seals stands on one rung and has forgotten those below, so he cannot read what he has
sealed. Who opens the foot with the private key (HPKE, RFC 9180) comes to every rung. HPKE is so much slower than all
else that a mail of 20 KB needs that most of the work is saved on both sides.
"""

from __future__ import annotations

import hmac
import os
import struct
import threading
from collections import OrderedDict

import attrs

from securegw.crypto.seal import PrivateKey, seal
from securegw.mail.errors import SealBroken

KEY = 32
RUNGS = 256  # of one ladder; also what an opener has to climb at most
MOST_LADDERS = 16  # that an opener remembers
_INFO = b"securegw mailbox ladder 1/"
_NEXT, _MAIL = b"next rung", b"mail/"
_PLACE = struct.Struct(">I")


@attrs.frozen
class Rung:
    """A rung, and how to come to it: the sealed foot of its ladder and its number."""

    foot: bytes
    number: int
    secret: bytes = attrs.field(repr=False)

    def key_for(self, label: bytes) -> bytes:
        """The key of the mail with this label."""
        return _expand(self.secret, _MAIL + label)

    def written(self) -> bytes:
        """What is kept beside the mail."""
        return _PLACE.pack(self.number) + self.foot


class Ladder:
    """The ladder of who seals: each step gives a rung once."""

    def __init__(self, public: bytes, mailbox: str) -> None:
        self._secret = os.urandom(KEY)
        self._foot = seal(public, _info(mailbox), self._secret)
        self._number = 0

    @property
    def is_climbed(self) -> bool:
        """There is no rung any more."""
        return self._number >= RUNGS

    def step(self) -> Rung:
        """The next rung. It is not kept here."""
        rung = Rung(self._foot, self._number, self._secret)
        self._secret, self._number = _expand(self._secret, _NEXT), self._number + 1
        return rung


class Ladders:
    """The ladders of a mailbox for who has its private key. Threads may share it."""

    def __init__(self, private: PrivateKey, mailbox: str) -> None:
        self._private = private
        self._mailbox = mailbox
        self._known: OrderedDict[bytes, list[bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def rung(self, written: bytes) -> Rung:
        """The rung of a mail, by what is kept beside it; SealBroken if it leads nowhere."""
        if len(written) <= _PLACE.size:
            raise SealBroken(detail="no rung of a ladder")
        (number,), foot = _PLACE.unpack_from(written), written[_PLACE.size :]
        if number >= RUNGS:
            raise SealBroken(detail=f"a ladder has no rung {number}")
        with self._lock:
            climbed = self._climbed(foot)
            while len(climbed) <= number:
                climbed.append(_expand(climbed[-1], _NEXT))
            return Rung(foot, number, climbed[number])

    def _climbed(self, foot: bytes) -> list[bytes]:
        """The rungs so far, from the foot."""
        known = self._known.get(foot)
        if known is None:
            known = [self._private.open(_info(self._mailbox), foot)]
            self._known[foot] = known
            if len(self._known) > MOST_LADDERS:
                self._known.popitem(last=False)
        return known


def _info(mailbox: str) -> bytes:
    return _INFO + mailbox.encode("ascii")


def _expand(secret: bytes, info: bytes) -> bytes:
    """HKDF-Expand of one block (RFC 5869 2.3)."""
    return hmac.digest(secret, info + b"\x01", "sha256")
