"""Judges a certificate: does it lead to a root that we trust, for this use, at this time?

Not about whom it speaks for (``certificate.speaks_for``) and not about revocation, which needs the network.
RFC 5280 6 by cryptography's verifier, with the uses of mail (RFC 8550 4.4); authorities with keys that it does not take
are followed by ``other_authorities``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.verification import (
    ClientVerifier,
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from securegw.crypto.certificate import (
    KEPT,
    MAIL_USES,
    ODD,
    SHORTEST_CURVE,
    SHORTEST_RSA,
    Certificate,
    load,
    public_key,
    read_certificate,
)
from securegw.crypto.certified_addresses import beyond_constraints
from securegw.crypto.other_authorities import follow
from securegw.mail.errors import BadKey

MOST_CHAIN = 50
DEPTH = 6


@attrs.frozen
class Trust:
    """``reason`` is one word: good, pinned, or what is wrong: expired, not-yet-valid, wrong-use, weak-key,
    unknown-issuer, bad-chain. ``links`` are the authorities on the way that was found, without its two ends."""

    good: bool
    reason: str
    links: tuple[bytes, ...] = attrs.field(default=(), eq=False, repr=False)

    @property
    def unknown(self) -> bool:
        """True if nothing is wrong with the certificate but that nobody we trust stands behind it."""
        return self.reason == "unknown-issuer"


def judge(
    certificate: Certificate,
    chain: Sequence[bytes],
    roots: Sequence[bytes],
    at: float,
    *,
    use: Literal["sign", "encrypt"],
) -> Trust:
    """``chain`` came with it, in any order; ``roots`` are the authorities we trust, or the certificate itself."""
    wrong = _wrong_itself(certificate, at, use)
    if wrong:
        return Trust(False, wrong)
    if certificate.der in roots:
        return Trust(True, "pinned")
    if not roots:
        return Trust(False, "unknown-issuer")
    return _follow(certificate, chain, tuple(roots), at)


def _wrong_itself(certificate: Certificate, at: float, use: str) -> str:
    if at < certificate.not_before:
        return "not-yet-valid"
    if at > certificate.not_after:
        return "expired"
    if not (certificate.may_sign if use == "sign" else certificate.may_encrypt):
        return "weak-key" if _weak(certificate.der) else "wrong-use"
    return "weak-key" if _weak(certificate.der) else ""


def _weak(der: bytes) -> bool:
    try:
        key = public_key(der)
    except BadKey:
        return True
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.key_size < SHORTEST_CURVE
    return isinstance(key, rsa.RSAPublicKey) and (key.key_size < SHORTEST_RSA or key.public_numbers().e < 3)


@attrs.frozen
class _Way:
    """A good way to a root, and from when to when all certificates on it are valid: nothing else of it ever changes."""

    trust: Trust
    begins: float
    ends: float


# Who writes once writes again. By digests, since strangers bring what would be kept otherwise.
_ways: dict[bytes, _Way] = {}


def _follow(certificate: Certificate, chain: Sequence[bytes], roots: tuple[bytes, ...], at: float) -> Trust:
    key = _digest(certificate.der, *chain[:MOST_CHAIN]) + _digest_of_roots(roots)
    way = _ways.get(key)
    if way is not None and way.begins <= int(at) <= way.ends:
        return way.trust
    trust, path = _verify(certificate, chain, roots, at)
    if trust.good:
        if len(_ways) >= KEPT:
            _ways.clear()
        on_it = [read_certificate(der) for der in path]
        _ways[key] = _Way(trust, max(one.not_before for one in on_it), min(one.not_after for one in on_it))
    return trust


def _digest(*texts: bytes) -> bytes:
    work = hashlib.sha256()
    for text in texts:
        work.update(len(text).to_bytes(8, "big") + text)
    return work.digest()


@lru_cache(maxsize=64)
def _digest_of_roots(roots: tuple[bytes, ...]) -> bytes:
    return _digest(*roots)


def _verify(
    certificate: Certificate, chain: Sequence[bytes], roots: tuple[bytes, ...], at: float
) -> tuple[Trust, list[bytes]]:
    """What is to be said, and the way that was found, both ends with it."""
    between, leaf = _readable(chain), load(certificate.der)
    try:
        path = _verifier(roots, int(at)).verify(leaf, between).chain
    except VerificationError:
        return _follow_others(leaf, between, roots, at)
    except ODD:  # a certificate whose extensions cannot be parsed
        return Trust(False, "bad-chain"), []
    if beyond_constraints(leaf) and any(_constrains(one) for one in path[1:]):
        return Trust(False, "bad-chain"), []
    return _good(path)


def _follow_others(
    leaf: x509.Certificate, between: list[x509.Certificate], roots: tuple[bytes, ...], at: float
) -> tuple[Trust, list[bytes]]:
    """By authorities whose keys the verifier does not take; else why there is no way."""
    if not _leads_to(leaf, between, roots):
        return Trust(False, "unknown-issuer"), []
    try:
        way = follow(leaf, between, [load(root) for root in roots], at, DEPTH)
    except ODD:
        way = None
    return (Trust(False, "bad-chain"), []) if way is None else _good(way)


def _good(way: Sequence[x509.Certificate]) -> tuple[Trust, list[bytes]]:
    path = [one.public_bytes(serialization.Encoding.DER) for one in way]
    return Trust(True, "good", tuple(path[1:-1])), path


def _constrains(authority: x509.Certificate) -> bool:
    """An authority that may name only some; the verifier sees to it for the ordinary form of addresses alone."""
    try:
        authority.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return False
    return True


def _readable(chain: Sequence[bytes]) -> list[x509.Certificate]:
    found = []
    for der in chain[:MOST_CHAIN]:
        try:
            found.append(load(read_certificate(der).der))
        except BadKey:
            continue
    return found


def _leads_to(leaf: x509.Certificate, between: list[x509.Certificate], roots: tuple[bytes, ...]) -> bool:
    """By names alone: would there be a way to a root if only everything were in order?"""
    trusted = {load(root).subject for root in roots}
    issuers = {one.subject: one.issuer for one in between}
    name = leaf.issuer
    for _ in range(DEPTH + 1):
        if name in trusted:
            return True
        if name not in issuers:
            return False
        name = issuers[name]
    return False


@lru_cache(maxsize=64)
def _store(roots: tuple[bytes, ...]) -> Store:
    return Store([load(root) for root in roots])


@lru_cache(maxsize=64)
def _verifier(roots: tuple[bytes, ...], at: int) -> ClientVerifier:
    return (
        PolicyBuilder()
        .store(_store(roots))
        .time(datetime.fromtimestamp(at, UTC).replace(tzinfo=None))
        .max_chain_depth(DEPTH)
        .extension_policies(ca_policy=_authorities(), ee_policy=_people())
        .build_client_verifier()
    )


def _people() -> ExtensionPolicy:
    return ExtensionPolicy.permit_all().may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _mail_use)


def _authorities() -> ExtensionPolicy:
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_authority)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs_certificates)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _mail_use)
    )


def _is_authority(_policy: Policy, _one: x509.Certificate, basic: x509.BasicConstraints) -> None:
    if not basic.ca:
        raise ValueError("not an authority")


def _signs_certificates(_policy: Policy, _one: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("may not sign certificates")


def _mail_use(_policy: Policy, _one: x509.Certificate, uses: x509.ExtendedKeyUsage | None) -> None:
    """An authority with extended uses passes on these only (RFC 5280 4.2.1.12 as commonly applied)."""
    if uses is not None and MAIL_USES.isdisjoint(uses):
        raise ValueError("not for mail")
