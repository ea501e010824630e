"""Mails for tests with real peers: written plainly, read with the standard library, sent with smtplib."""

from __future__ import annotations

import hashlib
import smtplib
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

STRANGER = "127.0.0.2"


def mail(sender: str, recipient: str, subject: str, text: str, *fields: str) -> bytes:
    """A text mail with CRLF lines."""
    own = "".join(f"{field}\r\n" for field in fields)
    body = text.replace("\r\n", "\n").replace("\n", "\r\n")
    name = hashlib.sha256(f"{subject} {text}".encode()).hexdigest()[:16]
    return (
        f"From: {sender}\r\nTo: {recipient}\r\nSubject: {subject}\r\n"
        f"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: <{name}@{sender.partition('@')[2]}>\r\n{own}"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
        f"\r\n{body}\r\n"
    ).encode()


def send(port: int, sender: str, recipient: str | list[str], raw: bytes, *, stranger: bool = False) -> None:
    """Hand a mail to the gateway: from inside, or as a stranger from another address of the loopback."""
    source = (STRANGER, 0) if stranger else None
    with smtplib.SMTP("127.0.0.1", port, timeout=30, source_address=source) as session:
        options = ["BODY=8BITMIME"] if any(byte > 127 for byte in raw) else []
        session.sendmail(sender, recipient, raw, mail_options=options)


def read(raw: bytes) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(raw)


def body(raw: bytes) -> bytes:
    """Everything below the header, as bytes."""
    return raw.partition(b"\r\n\r\n")[2]
