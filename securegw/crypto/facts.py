"""Says in words what a file with keys or certificates holds, for ``securegw inspect``.

Not a judgement, and never a private value: of a private key only its kind and which certificate it fits.
"""

from __future__ import annotations

from datetime import UTC, datetime

import attrs

from securegw.crypto.certificate import Certificate, kind_of, read_certificates
from securegw.crypto.keyfile import fits, load_key, read_pkcs12, read_private_key
from securegw.mail.errors import BadKey


def describe(data: bytes, password: str | None = None) -> dict[str, object]:
    """All facts about a certificate, key or PKCS #12 file; raises BadKey if it is none of them."""
    key, certificates = _read(data, password)
    facts: dict[str, object] = {"certificates": [_certificate(one) for one in certificates]}
    if key is not None:
        facts["private_key"] = {
            "kind": kind_of(load_key(key)),
            "fits": [one.fingerprint for one in certificates if fits(key, one.der)],
        }
    return facts


def _read(data: bytes, password: str | None) -> tuple[bytes | None, list[Certificate]]:
    if b"-----BEGIN " in data:
        key = read_private_key(data, _secret(password)) if b"PRIVATE KEY-----" in data else None
        return key, read_certificates(data) if b"-----BEGIN CERTIFICATE-----" in data else []
    try:
        return None, read_certificates(data)
    except BadKey:
        pass
    try:
        return read_private_key(data, _secret(password)), []
    except BadKey:
        key, certificate, chain = read_pkcs12(data, password)
        return key, [certificate, *chain]


def _secret(password: str | None) -> bytes | None:
    return password.encode() if password else None


def _certificate(certificate: Certificate) -> dict[str, object]:
    facts = attrs.asdict(certificate, filter=attrs.filters.exclude("der"))
    for name in ("not_before", "not_after"):
        facts[name] = datetime.fromtimestamp(facts[name], UTC).isoformat()
    return facts | {"addresses": list(certificate.addresses), "serial": f"{certificate.serial:x}"}
