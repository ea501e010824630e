"""Revocation lists of our own authority, and the request by which it is put below another one.

Not asking about other people's certificates, that needs the network. RFC 5280 5 (CRL), RFC 2986 (request).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from securegw.crypto.authority import NAME_LIMIT, key_usage, make_authority_key
from securegw.crypto.certificate import load, read_certificate
from securegw.crypto.keyfile import PrivateKey, fits, key_bytes, load_signing_key
from securegw.mail.errors import BadKey

REASONS = {
    "unspecified": x509.ReasonFlags.unspecified,
    "key-compromise": x509.ReasonFlags.key_compromise,
    "affiliation-changed": x509.ReasonFlags.affiliation_changed,
    "superseded": x509.ReasonFlags.superseded,
    "cessation-of-operation": x509.ReasonFlags.cessation_of_operation,
}


@attrs.frozen
class Revoked:
    """One line of the list."""

    serial: int
    time: float
    reason: str


def make_list(
    authority_key: bytes, authority_der: bytes, revoked: Iterable[Revoked], *, number: int, now: float, days: float
) -> bytes:
    """A signed list (DER), valid from now on for so many days."""
    authority, key = load(authority_der), load_signing_key(authority_key)
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(_moment(now))
        .next_update(_moment(now) + timedelta(days=days))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    for one in revoked:
        builder = builder.add_revoked_certificate(_line(one))
    return builder.sign(key, _digest(key)).public_bytes(Encoding.DER)


def _line(one: Revoked) -> x509.RevokedCertificate:
    line = x509.RevokedCertificateBuilder().serial_number(one.serial).revocation_date(_moment(one.time))
    reason = REASONS.get(one.reason, x509.ReasonFlags.unspecified)
    if reason is not x509.ReasonFlags.unspecified:  # RFC 5280 5.3.1: then the extension is left out
        line = line.add_extension(x509.CRLReason(reason), critical=False)
    return line.build()


def make_request(name: str, *, kind: str = "rsa-3072") -> tuple[bytes, bytes]:
    """A key and the request for a certificate of an authority: (private key, request in PEM)."""
    key = make_authority_key(kind)
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:NAME_LIMIT])]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, _digest(key))
    )
    return key_bytes(key), request.public_bytes(Encoding.PEM)


def check_answer(key: bytes, der: bytes, now: float) -> None:
    """Raise BadKey unless a certificate makes an authority of this key that can issue to people now."""
    read = read_certificate(der)
    if not fits(key, der):
        raise BadKey("The certificate was made for another key than that of the request.")
    if not read.is_ca:
        raise BadKey("The certificate does not make an authority: it may issue to nobody.")
    if not read.not_before <= now <= read.not_after:
        raise BadKey("The certificate has expired, or is not yet valid.")
    extensions = load(der).extensions
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound as problem:
        raise BadKey("The certificate lacks what an authority needs.", detail=str(problem)) from None
    if not (usage.key_cert_sign and usage.crl_sign):
        raise BadKey("The certificate may not sign certificates and revocation lists.")


def _digest(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _moment(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)
