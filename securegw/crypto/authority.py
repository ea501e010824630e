"""Makes keys and certificates: the organisation's own authority, its users, and the demonstration's TLS.

Not a judge of certificates (``chain``) and not the order of a certificate from somebody else. RFC 5280 4, RFC 8550 4.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x448, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from securegw.crypto.certificate import load
from securegw.crypto.keyfile import PrivateKey, SigningKey, key_bytes, load_key, load_signing_key
from securegw.mail.address import parse_address
from securegw.mail.errors import BadKey

# A clock that is a little late shall not find a new certificate "not yet valid".
GRACE = timedelta(hours=1)
# What every program, and our own path validation, follows.
AUTHORITY_KINDS = ("rsa-2048", "rsa-3072", "rsa-4096", "p-256", "p-384", "p-521")
NAME_LIMIT = 64  # RFC 5280 A.1 ub-common-name


def _rsa(size: int) -> Callable[[], PrivateKey]:
    return lambda: rsa.generate_private_key(public_exponent=65537, key_size=size)


def _curve(curve: ec.EllipticCurve) -> Callable[[], PrivateKey]:
    return lambda: ec.generate_private_key(curve)


KEY_KINDS: Mapping[str, Callable[[], PrivateKey]] = MappingProxyType(
    {
        "rsa-2048": _rsa(2048),
        "rsa-3072": _rsa(3072),
        "rsa-4096": _rsa(4096),
        "p-256": _curve(ec.SECP256R1()),
        "p-384": _curve(ec.SECP384R1()),
        "p-521": _curve(ec.SECP521R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ed448": ed448.Ed448PrivateKey.generate,
        "x25519": x25519.X25519PrivateKey.generate,
        "x448": x448.X448PrivateKey.generate,
    }
)


def make_key(kind: str) -> PrivateKey:
    """A new private key of one of KEY_KINDS."""
    make = KEY_KINDS.get(kind)
    if make is None:
        raise BadKey(f"There is no kind of key called {kind!r}; there are {', '.join(KEY_KINDS)}.")
    return make()


def make_authority_key(kind: str) -> SigningKey:
    """A new private key for an authority, of one of AUTHORITY_KINDS."""
    key = make_key(kind) if kind in AUTHORITY_KINDS else None
    if not isinstance(key, SigningKey):
        raise BadKey(f"An authority has a key of one of these kinds: {', '.join(AUTHORITY_KINDS)}.")
    return key


def make_authority(name: str, *, years: int, now: float, kind: str = "rsa-3072") -> tuple[bytes, bytes]:
    """A self-signed authority that issues end certificates only: (private key, certificate)."""
    key = make_authority_key(kind)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:NAME_LIMIT])])
    builder = (
        _builder(subject, subject, key, now, years * 365.25)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)
    )
    return key_bytes(key), _signed(builder, key)


def issue(
    authority_key: bytes,
    authority_der: bytes,
    *,
    address: str,
    name: str,
    days: float,
    now: float,
    kind: str = "rsa-2048",
    crl_url: str = "",
) -> tuple[bytes, bytes]:
    """A certificate for one mail address, to sign and to be encrypted to: (private key, certificate).

    ``crl_url`` is where the list stands by which it can be revoked (RFC 5280 4.2.1.13).
    """
    mailbox = str(parse_address(address))
    key = make_key(kind)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (name or mailbox)[:NAME_LIMIT])])
    builder = (
        _below(authority_der, subject, key, now, days)
        .add_extension(_usage_of(key), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(mailbox)]), critical=False)
    )
    if crl_url:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    return key_bytes(key), _signed(builder, load_signing_key(authority_key))


def make_tls(
    authority_key: bytes,
    authority_der: bytes,
    *,
    names: Sequence[str],
    ips: Sequence[str] = (),
    days: float,
    now: float,
) -> tuple[bytes, bytes]:
    """A server certificate for the demonstration and for first steps: (private key, certificate)."""
    key = make_key("p-256")
    hosts: list[x509.GeneralName] = [x509.DNSName(host) for host in names]
    hosts += [x509.IPAddress(ip_address(ip)) for ip in ips]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, [*names, *ips][0][:NAME_LIMIT])])
    builder = (
        _below(authority_der, subject, key, now, days)
        .add_extension(key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    )
    return key_bytes(key), _signed(builder, load_signing_key(authority_key))


def to_pem(der: bytes) -> bytes:
    return load(der).public_bytes(serialization.Encoding.PEM)


def key_to_pem(key_der: bytes) -> bytes:
    return load_key(key_der).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _below(
    authority_der: bytes, subject: x509.Name, key: PrivateKey, now: float, days: float
) -> x509.CertificateBuilder:
    """An end certificate: it names its authority and never lives longer than it."""
    authority = load(authority_der)
    left = (authority.not_valid_after_utc.timestamp() - now) / 86_400
    if left <= 0:
        raise BadKey("The authority has expired; it cannot issue certificates any more.")
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _builder(subject, authority.subject, key, now, min(days, left))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, now: float, days: float
) -> x509.CertificateBuilder:
    start = datetime.fromtimestamp(now, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - GRACE)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: SigningKey) -> bytes:
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.DER)


def _usage_of(key: PrivateKey) -> x509.KeyUsage:
    """What a key of this kind can do (RFC 8550 4.4.2, RFC 8410 5)."""
    return key_usage(
        digital_signature=not isinstance(key, x25519.X25519PrivateKey | x448.X448PrivateKey),
        key_encipherment=isinstance(key, rsa.RSAPrivateKey),
        key_agreement=isinstance(
            key, ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey | x448.X448PrivateKey
        ),
    )


def key_usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_agreement: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    """The extension that says what a key is for, and for nothing else (RFC 5280 4.2.1.3)."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=key_agreement,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
