"""Follows a certificate to a root where an authority on the way has a key that the library's verifier does not take.

That is Ed25519 and Ed448 (RFC 8410; the authorities of RFC 9216) and curves of others than NIST, as German authorities
use them (RFC 5639). Not a second opinion: ``chain`` asks here only when the verifier has found no way, and a way on
which all authorities have keys that it takes is not taken here either. RFC 5280 6.1 without policies; what this file
does not understand, name constraints too, ends a way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from securegw.crypto.certificate import MAIL_USES, ODD, SHORTEST_CURVE, SHORTEST_RSA

MOST_SIGNATURES = 60
TAKEN_CURVES = ("secp256r1", "secp384r1", "secp521r1")
UNDERSTOOD = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectAlternativeName)
DIGESTS = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
E = TypeVar("E", bound=x509.ExtensionType)


def follow(
    leaf: x509.Certificate,
    between: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: float,
    depth: int,
) -> list[x509.Certificate] | None:
    """The way from the certificate to a root, both included; None if there is none."""
    return _Search(between, roots, at, depth).from_(leaf)


@attrs.define
class _Search:
    between: Sequence[x509.Certificate]
    roots: Sequence[x509.Certificate]
    at: float
    depth: int
    signatures_left: int = MOST_SIGNATURES

    def from_(self, leaf: x509.Certificate) -> list[x509.Certificate] | None:
        return self._above([leaf]) if _is_understood(leaf) else None

    def _above(self, way: list[x509.Certificate]) -> list[x509.Certificate] | None:
        for root in self.roots:
            if self._may_issue(root, way) and any(_is_other(one) for one in (*way[1:], root)):
                return [*way, root]
        if len(way) > self.depth:
            return None
        for one in self.between:
            found = self._above([*way, one]) if one not in way and self._may_issue(one, way) else None
            if found is not None:
                return found
        return None

    def _may_issue(self, issuer: x509.Certificate, way: Sequence[x509.Certificate]) -> bool:
        """Everything that RFC 5280 6.1.3 and 6.1.4 ask of one step, the signature last."""
        below = way[-1]
        if issuer.subject != below.issuer or not self._is_authority(issuer, len(way) - 1) or not _is_strong(issuer):
            return False
        if below.signature_hash_algorithm is not None and not isinstance(below.signature_hash_algorithm, DIGESTS):
            return False
        self.signatures_left -= 1
        if self.signatures_left < 0:
            return False
        try:
            below.verify_directly_issued_by(issuer)
        except (InvalidSignature, *ODD):
            return False
        return True

    def _is_authority(self, issuer: x509.Certificate, below: int) -> bool:
        """``below`` is how many other authorities stand under it."""
        basic, usage = _extension(issuer, x509.BasicConstraints), _extension(issuer, x509.KeyUsage)
        uses = _extension(issuer, x509.ExtendedKeyUsage)
        if basic is None or not basic.ca or (basic.path_length is not None and basic.path_length < below):
            return False
        if (usage is not None and not usage.key_cert_sign) or (uses is not None and MAIL_USES.isdisjoint(uses)):
            return False
        valid = issuer.not_valid_before_utc.timestamp() <= self.at <= issuer.not_valid_after_utc.timestamp()
        return valid and _is_understood(issuer) and _extension(issuer, x509.NameConstraints) is None


def _is_understood(one: x509.Certificate) -> bool:
    """RFC 5280 4.2: what is critical and not understood ends the way."""
    return all(isinstance(each.value, UNDERSTOOD) for each in one.extensions if each.critical)


def _is_strong(one: x509.Certificate) -> bool:
    key = one.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= SHORTEST_RSA and key.public_numbers().e >= 3
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.key_size >= SHORTEST_CURVE
    return isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)


def _is_other(one: x509.Certificate) -> bool:
    """A key that the library's verifier does not take for an authority."""
    key = one.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name not in TAKEN_CURVES
    return isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)


def _extension(one: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return one.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
