"""Settings of the keys that this gateway makes for its own users, and of the lists by which they are revoked."""

from __future__ import annotations

import attrs

from securegw import config
from securegw.config import setting
from securegw.crypto.smime import Form, Scheme


@attrs.frozen
class KeysSettings:
    """The keys and certificates of your users, made by the internal authority."""

    kind: str = setting(
        config.choice("rsa-2048", "rsa-3072", "rsa-4096", "p-256", "p-384", "p-521"), default="rsa-2048",
        help="The kind of key that a user gets. Every mail program reads RSA; p-256 is shorter and quicker.",
    )
    signature: Form = setting(
        config.choice("detached", "opaque"), default="detached",
        help="Where a signature stands: detached, beside the text, which every mail program shows; opaque, around it, "
        "which survives servers that change texts, and is shown by programs with S/MIME alone.",
    )
    rsa_signature: Scheme = setting(
        config.choice("pkcs1", "pss"), default="pkcs1",
        help="How RSA keys sign: pkcs1 (PKCS #1 v1.5), which every program checks, or pss, which some authorities ask "
        "for. A key that its certificate binds to PSS signs so anyway.",
    )
    days: int = setting(config.number(30, 3650), default=1095, help="Days for which a user's certificate is valid.")
    new_users: str = setting(
        config.choice("first-mail", "command"), default="first-mail",
        help="How somebody inside becomes a user: with the first mail sent, or by an administrator's command alone; "
        "then mail of others to the outside goes back to them.",
    )
    crl_url: str | None = setting(
        config.url, default=None,
        help="Where the world fetches revocation lists, such as http://crl.example.org/crl: the address of crl_listen "
        "or of the portal, as seen from outside. It stands in every certificate; without it none says where.",
    )
    crl_listen: tuple[str, ...] = setting(
        config.list_of(config.endpoint), default=(),
        help="Where revocation lists are served over plain HTTP (Twisted endpoints). The portal serves them anyway.",
    )
    crl_days: int = setting(
        config.number(1, 90), default=7, help="Days for which a list is valid. A new one is made long before it ends."
    )
    tidy_days: int = setting(
        config.number(1, 3650), default=90,
        help="Days after which learned certificates that have expired or were replaced are removed. Your own stay.",
    )


NAME = 16  # digits of an authority's fingerprint that name its list


def list_name(fingerprint: str) -> str:
    """The name of a list's file, as it stands in certificates."""
    return f"{fingerprint[:NAME]}.crl"


def list_url(settings: KeysSettings, fingerprint: str) -> str:
    """Where the world fetches the list of an authority; empty if nowhere."""
    return f"{settings.crl_url}/{list_name(fingerprint)}" if settings.crl_url else ""
