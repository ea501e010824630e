"""Signing in at a smarthost: what is said, line by line.

Not when: the dialogue sees to it that TLS covers the connection. Obeys RFC 4954 4 and RFC 4616 2; LOGIN is what
older servers offer instead.
"""

from __future__ import annotations

import base64

import attrs

CONTINUE, WELCOME = 334, 235


@attrs.frozen
class Login:
    """A name and a password; the password is in no representation."""

    name: str
    password: str = attrs.field(repr=False)

    def lines(self, offered: str) -> list[bytes]:
        """The lines for the best mechanism that is offered; none if there is none of ours."""
        mechanisms = offered.upper().split()
        if "PLAIN" in mechanisms:
            return [b"AUTH PLAIN %s\r\n" % self._plain]
        if "LOGIN" in mechanisms:
            return [b"AUTH LOGIN\r\n", b"%s\r\n" % _base64(self.name), b"%s\r\n" % _base64(self.password)]
        return []

    @property
    def possible(self) -> bool:
        """A NUL would end the name, for PLAIN (RFC 4616 2)."""
        return "\0" not in self.name + self.password

    def hide(self, text: str) -> str:
        """What a server said, without the password if it repeats it."""
        for secret in (self._plain.decode(), _base64(self.password).decode(), self.password):
            text = text.replace(secret, "***") if secret else text
        return text

    @property
    def _plain(self) -> bytes:
        return _base64(f"\0{self.name}\0{self.password}")


def _base64(text: str) -> bytes:
    return base64.b64encode(text.encode())
