"""For which addresses a certificate speaks: read strictly, never trimmed, decoded or guessed (2026-2748).

Not the judgement whether to believe it (``chain``). RFC 8550 3 (which name is an address), RFC 5280 7.5 (what is
equal), RFC 9598 3 (addresses whose local part is not ASCII).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cryptography import x509
from cryptography.x509.oid import NameOID

from securegw.crypto import ber
from securegw.mail.address import parse_address, parse_path
from securegw.mail.errors import BadAddress, MailError

MOST_ADDRESSES = 100
SMTP_UTF8_MAILBOX = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")
UTF8_STRING = 0x0C


def certified_addresses(parsed: x509.Certificate) -> tuple[str, ...]:
    """The subjectAltName decides; the old emailAddress counts only where there is none (RFC 8550 3).

    Somebody who speaks for more than a hundred speaks for nobody.
    """
    names = _alternatives(parsed)
    if names is None:
        found = _from_subject(parsed)
    else:
        found = [*_strict(names.get_values_for_type(x509.RFC822Name)), *_unicode(names)]
    return tuple(found) if len(found) <= MOST_ADDRESSES else ()


def beyond_constraints(parsed: x509.Certificate) -> bool:
    """True if it names addresses where the verifier does not look when an authority may name only some.

    RFC 5280 4.2.1.10 and RFC 9598 6 say that name constraints bind these too.
    """
    names = _alternatives(parsed)
    return bool(_from_subject(parsed)) if names is None else any(True for _ in _unicode(names))


def _alternatives(parsed: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _from_subject(parsed: x509.Certificate) -> list[str]:
    return list(_strict(str(one.value) for one in parsed.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)))


def _strict(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        try:
            yield str(parse_address(text))
        except BadAddress:
            continue


def _unicode(names: x509.SubjectAlternativeName) -> Iterator[str]:
    """SmtpUTF8Mailbox: only for a local part that needs it, and with the domain in ASCII (RFC 9598 3)."""
    for other in names.get_values_for_type(x509.OtherName):
        if other.type_id != SMTP_UTF8_MAILBOX:
            continue
        try:
            text = ber.whole(other.value).expect(UTF8_STRING).content.decode("utf-8")
            address = parse_path(text, utf8=True)
        except (MailError, UnicodeDecodeError):
            continue
        if not address.local.isascii() and text.rpartition("@")[2].isascii():
            yield str(address)
