"""Judges a certificate, a key file or a mail, and says why: no database, no configuration, nothing written.

The same functions judge here as in the gateway, with the roots, the keys and the time that the command names.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs

from securegw.commands import arguments as words
from securegw.commands.keyfiles import is_key_file, read_key_file
from securegw.commands.opening import Refusal
from securegw.commands.passwords import add_password_file
from securegw.commands.tables import Row, add_json, moment, print_json, print_tree
from securegw.crypto import smime
from securegw.crypto.certificate import kind_of, read_certificate, read_certificates
from securegw.crypto.chain import judge
from securegw.crypto.keyfile import load_key
from securegw.mail import message as messages
from securegw.mail import mime
from securegw.mail.address import author
from securegw.mail.errors import MailError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Sequence

    from securegw.commands.keyfiles import KeyFile
    from securegw.crypto.certificate import Certificate

Use = Literal["sign", "encrypt"]
USES: tuple[Use, ...] = ("sign", "encrypt")


@attrs.frozen
class Court:
    """With what is judged: trusted roots (DER), private keys with their certificates, and the time."""

    roots: tuple[bytes, ...]
    keys: tuple[tuple[bytes, bytes], ...]
    at: float


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw inspect``."""
    parser.add_argument("file", nargs="+", type=Path, help="a mail, a certificate, a key or a PKCS #12 file")
    parser.add_argument("--at", metavar="TIME", type=words.moment, help="judge as of this time (ISO 8601; default now)")
    parser.add_argument("--roots", metavar="FILE", type=Path, help="trusted roots (PEM); without them none is trusted")
    parser.add_argument(
        "--keys", metavar="FILE", type=Path, action="append", default=[],
        help="a private key with its certificate (PEM or PKCS #12) to open mail with; may be repeated",
    )
    add_password_file(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Report on each file."""
    court = convene(arguments)
    reports = [report(file, court, arguments.password_file) for file in arguments.file]
    if arguments.json:
        print_json(reports)
        return 0
    for number, found in enumerate(reports):
        print("\n" * bool(number), end="")
        print_tree(found, as_json=False)
    return 0


def convene(arguments: Namespace) -> Court:
    """Read the roots and keys that the command names."""
    roots = tuple(one.der for one in read_certificates(arguments.roots.read_bytes())) if arguments.roots else ()
    keys = [pair for file in arguments.keys for pair in pairs(file, read_key_file(file, arguments.password_file))]
    return Court(roots, tuple(keys), time.time() if arguments.at is None else arguments.at)


def pairs(file: Path, found: KeyFile) -> list[tuple[bytes, bytes]]:
    """The private keys of a file, each with its certificate."""
    if found.private is None or not found.certificates:
        raise Refusal(f"{file}: to open mail takes a private key together with its certificate")
    return [(found.private, found.certificates[0].der), *((key, der) for der, key in found.more.items())]


def report(file: Path, court: Court, password_file: Path | None) -> Row:
    """Everything about one file."""
    content = file.read_bytes()
    if is_key_file(content):
        return {"file": str(file), **key_report(read_key_file(file, password_file), court)}
    return {"file": str(file), **mail_report(file, content, court)}


def key_report(found: KeyFile, court: Court) -> Row:
    """A key file: its kind, its private key, and a verdict on each certificate."""
    values: Row = {"kind": found.kind, "at": moment(court.at)}
    if found.private is not None:
        values["private_key"] = {
            "kind": kind_of(load_key(found.private)),
            "fits": found.certificates[0].fingerprint if found.certificates else None,
        }
    if found.more:
        values["more_private_keys"] = [
            {"kind": kind_of(load_key(key)), "fits": read_certificate(der).fingerprint}
            for der, key in found.more.items()
        ]
    every = [one.der for one in found.certificates]
    values["certificates"] = [certificate_report(one, every, court) for one in found.certificates]
    return values


def certificate_report(one: Certificate, chain: Sequence[bytes], court: Court) -> Row:
    """What a certificate says of itself, and what we think of it for each use."""
    return {
        "subject": one.subject, "issuer": one.issuer, "serial": format(one.serial, "x"),
        "fingerprint": one.fingerprint, "addresses": list(one.addresses), "key": one.key_kind,
        "not_before": moment(one.not_before), "not_after": moment(one.not_after), "authority": one.is_ca,
        "may_sign": one.may_sign, "may_encrypt": one.may_encrypt,
        "verdicts": {use: verdict_on(one, chain, court, use) for use in USES},
    }


def verdict_on(one: Certificate, chain: Sequence[bytes], court: Court, use: Use) -> Row:
    """Whether a certificate may be believed for one use, and why."""
    trust = judge(one, [der for der in chain if der != one.der], court.roots, court.at, use=use)
    return {"good": trust.good, "why": trust.reason}


def mail_report(file: Path, content: bytes, court: Court) -> Row:
    """A mail: what protects it, what is inside, who signed, and each verdict by itself."""
    raw, note = wire_form(content)
    message = messages.read(raw)
    if not message.fields:
        raise Refusal(f"{file}: neither a mail nor a certificate or key")
    writer = author(message)
    values: Row = {
        "kind": "mail", "at": moment(court.at), "author": str(writer) if writer else None,
        "protection": smime.recognise(message),
    }
    if note:
        values["note"] = note
    opened = smime.open(raw, court.keys, court.roots, court.at, writer)
    verdict = opened.verdict
    return values | {
        "layers": list(opened.layers),
        "verdicts": {
            "encrypted": verdict.encrypted, "integrity": verdict.integrity, "trust": verdict.trust,
            "identity": verdict.identity, "signed_ok": verdict.signed_ok,
        },
        "signer": verdict.signer or None, "reasons": list(verdict.reasons),
        "parts": parts_of(opened.raw),
        "signers": [signer_report(der, court) for der in opened.certificates],
    }


def signer_report(der: bytes, court: Court) -> Row:
    """A signer's certificate as the mail brought it."""
    return certificate_report(read_certificate(der), (), court)


def parts_of(raw: bytes) -> list[str]:
    """The kinds of the parts, as a reader would see them; or why they are not taken apart."""
    try:
        return list(_kinds(mime.parse(raw), ""))
    except MailError as error:
        return [f"not taken apart: {error.sentence}"]


def _kinds(part: mime.Part, indent: str) -> Iterator[str]:
    yield f"{indent}{part.kind}"
    for child in part.children:
        yield from _kinds(child, f"{indent}> ")


def wire_form(content: bytes) -> tuple[bytes, str]:
    """A mail as it was on the wire: a file with plain LF has lost its CRLF on the way here."""
    if b"\r\n" in content or b"\n" not in content:
        return content, ""
    return content.replace(b"\n", b"\r\n"), "the file has LF line ends; read as CRLF"
