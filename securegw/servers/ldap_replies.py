"""Replies: results with their codes, the last word before a connection ends, and the control of pages.

RFC 4511 4.1.9 (results), 4.4.1 (notice of disconnection), 4.14 (StartTLS), RFC 2696 2 (pages).
"""

from __future__ import annotations

from securegw.servers.ldap_ber import tlv
from securegw.servers.ldap_entries import OCTETS, SEQUENCE, envelope
from securegw.servers.ldap_requests import PAGES

SUCCESS = 0
OPERATIONS_ERROR = 1
PROTOCOL_ERROR = 2
TIME_LIMIT_EXCEEDED = 3
SIZE_LIMIT_EXCEEDED = 4
COMPARE_FALSE, COMPARE_TRUE = 5, 6
AUTH_METHOD_NOT_SUPPORTED = 7
ADMIN_LIMIT_EXCEEDED = 11
UNAVAILABLE_CRITICAL_EXTENSION = 12
CONFIDENTIALITY_REQUIRED = 13
NO_SUCH_ATTRIBUTE = 16
NO_SUCH_OBJECT = 32
INVALID_DN_SYNTAX = 34
INVALID_CREDENTIALS = 49
BUSY = 51
UNAVAILABLE = 52
UNWILLING_TO_PERFORM = 53
OTHER = 80

START_TLS = "1.3.6.1.4.1.1466.20037"
NOTICE = b"1.3.6.1.4.1.1466.20036"
ONE = b"\x02\x01"
NOBODY = ONE + b"\x00"  # the number of what was not asked for


def result(number: bytes, tag: int, code: int, text: str = "", controls: bytes = b"", more: bytes = b"") -> bytes:
    """The end of an answer; ``more`` stands behind the three fields that all results have."""
    fields = (b"\x0a\x01" + bytes((code,)), tlv(OCTETS), tlv(OCTETS, text.encode()), more)
    return envelope(number, tlv(bytes((tag,)), *fields), controls)


def extended(number: bytes, name: str, code: int, text: str = "") -> bytes:
    """The answer to an extended request."""
    return result(number, 0x78, code, text, more=tlv(b"\x8a", name.encode()) if name else b"")


def notice(code: int, text: str) -> bytes:
    """Said once before we hang up."""
    return result(NOBODY, 0x78, code, text, more=tlv(b"\x8a", NOTICE))


def page_control(cookie: bytes) -> bytes:
    """The answer to the control of pages; how many entries there are in all is nobody's business (0)."""
    value = tlv(SEQUENCE, ONE + b"\x00", tlv(OCTETS, cookie))
    return tlv(b"\xa0", tlv(SEQUENCE, tlv(OCTETS, PAGES.encode()), tlv(OCTETS, value)))
