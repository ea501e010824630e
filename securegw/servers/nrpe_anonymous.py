"""TLS without a certificate, for check_nrpe before version 3, which knows nothing else.

It keeps nobody out who sits in between; off unless it is set. RFC 7919 A.1 (the group), RFC 8996 (TLS 1.2 at least).
"""

from __future__ import annotations

import base64
import tempfile

from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

CIPHERS = b"ADH:AECDH:!eNULL:!RC4:!3DES:@SECLEVEL=0"
PRECISION = 2100  # bits behind the point, more than the 1918 that the group takes of e


@implementer(IOpenSSLServerConnectionCreator)
class AnonymousTLS:
    """The server's side of such connections."""

    def __init__(self) -> None:
        options = ssl.CertificateOptions(
            insecurelyLowerMinimumTo=ssl.TLSVersion.TLSv1_2, lowerMaximumSecurityTo=ssl.TLSVersion.TLSv1_2
        )
        self._context: SSL.Context = options.getContext()
        self._context.set_cipher_list(CIPHERS)
        with tempfile.NamedTemporaryFile() as file:  # pyOpenSSL takes a file only
            file.write(group_file())
            file.flush()
            self._context.load_tmp_dh(file.name.encode())

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._context, None)


def ffdhe2048() -> int:
    """The prime 2^2048 - 2^1984 + {[2^1918 * e] + 560316} * 2^64 - 1 (RFC 7919 A.1)."""
    e = term = 1 << PRECISION
    number = 1
    while term:
        term //= number
        e += term
        number += 1
    return 2**2048 - 2**1984 + ((e >> (PRECISION - 1918)) + 560316) * 2**64 - 1


def group_file() -> bytes:
    """The group with its generator 2 in PEM, SEQUENCE { prime, generator }; its lengths are always the same."""
    der = b"\x30\x82\x01\x08\x02\x82\x01\x01" + ffdhe2048().to_bytes(257) + b"\x02\x01\x02"
    return b"-----BEGIN DH PARAMETERS-----\n" + base64.encodebytes(der) + b"-----END DH PARAMETERS-----\n"
