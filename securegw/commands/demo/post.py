"""Mail programs for the demo's story: they write, hand in and fetch mail as people's programs do.

Not the gateway's own tools on purpose: what the story checks is written and read by the standard library.
"""

from __future__ import annotations

import smtplib
import ssl
import time
from collections.abc import Callable, Sequence
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import formataddr, formatdate, make_msgid
from pathlib import Path

import attrs

from securegw.commands.demo.browser import File, Surprise
from securegw.commands.demo.people import Person

SECONDS = 40.0
PAUSE = 0.05


@attrs.frozen
class Mail:
    """A mail as it lies in a Maildir: its bytes, and the same read."""

    raw: bytes
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"] or "")

    @property
    def text(self) -> str:
        """The plain text that its reader sees."""
        body = self.message.get_body(("plain",))
        return str(body.get_content()) if body is not None else ""

    def file(self, name: str) -> bytes:
        """The content of an attachment."""
        for part in self.message.walk():
            if part.get_filename() == name:
                content = part.get_content()
                return content.encode() if isinstance(content, str) else bytes(content)
        raise Surprise(f"no attachment {name!r} in {self.subject!r}")

    def holds(self, secret: str) -> bool:
        """Whether a text stands in it in any form in which a reader could find it."""
        parts = [part.get_payload(decode=True) for part in self.message.walk() if not part.is_multipart()]
        layers = [self.raw, *(part for part in parts if isinstance(part, bytes))]
        return any(secret.encode() in layer for layer in layers)


def read(raw: bytes) -> Mail:
    parsed = BytesParser(policy=policy.default).parsebytes(raw)
    return Mail(raw, parsed)


def write(
    sender: Person, to: str, subject: str, text: str, *, files: Sequence[File] = (), thread: str = ""
) -> EmailMessage:
    """A new mail."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = formataddr((sender.name, sender.address))
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=sender.address.partition("@")[2])
    if thread:
        message["In-Reply-To"] = thread
    message.set_content(text)
    for file in files:
        kind, _, below = file.kind.partition("/")
        message.add_attachment(file.content, maintype=kind, subtype=below, filename=file.name)
    return message


@attrs.frozen
class Post:
    """The way into the gateway: from inside with TLS, or as a stranger from another address of the loopback."""

    port: int
    ca_file: Path
    stranger: str

    def submit(self, sender: Person, to: str, raw: bytes) -> None:
        """As an inside mail program: TLS with a checked certificate."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=SECONDS) as session:
            session.starttls(context=ssl.create_default_context(cafile=self.ca_file))
            session.sendmail(sender.address, [to], raw)

    def hand_over(self, sender: str, to: str, raw: bytes) -> None:
        """As a mail server somewhere outside."""
        with smtplib.SMTP(
            "127.0.0.1", self.port, timeout=SECONDS, source_address=(self.stranger, 0)
        ) as session:
            session.sendmail(sender, [to], raw)


@attrs.define
class Inboxes:
    """Looks into Maildirs; a mail is found once, and what was there before is not found at all."""

    seen: set[Path] = attrs.field(factory=set)

    def skip(self, maildir: Path) -> None:
        """Forget about what is there now."""
        self.seen.update(_files(maildir))

    def wait(
        self, person: Person, what: str, condition: Callable[[Mail], bool], seconds: float = SECONDS
    ) -> Mail:
        """The next mail of this person that is what the story waits for."""
        return self.wait_in(person.maildir, what, condition, seconds)

    def wait_in(
        self, maildir: Path, what: str, condition: Callable[[Mail], bool], seconds: float = SECONDS
    ) -> Mail:
        """The next such mail in this Maildir."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for file in _files(maildir):
                if file not in self.seen and condition(mail := read(file.read_bytes())):
                    self.seen.add(file)
                    return mail
            time.sleep(PAUSE)
        subjects = [read(file.read_bytes()).subject for file in _files(maildir)]
        raise Surprise(f"{maildir.name} waited {seconds:.0f} s for {what} in vain; there are {subjects}")


def _files(maildir: Path) -> list[Path]:
    return sorted((maildir / "new").glob("*")) if maildir.is_dir() else []
