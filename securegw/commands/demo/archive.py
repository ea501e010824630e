"""The story's fourth part: a mail is kept in an archive mailbox, and only its password gives it back."""

from __future__ import annotations

import poplib
import time
from collections.abc import Iterable

from securegw.commands.demo.browser import Surprise
from securegw.commands.demo.mailbox import SECONDS, Archive
from securegw.commands.demo.post import PAUSE, write
from securegw.commands.demo.story import Scene, Step, check


def keep(scene: Scene) -> Iterable[str]:
    """Otto sends a copy to the archive, as a journal rule of his mail server would."""
    archive = the_archive(scene)
    raw = write(scene.otto, archive.address, "For the record", "Kept for ten years: marker-9301.\n").as_bytes()
    scene.post.submit(scene.otto, archive.address, raw)
    mails = wait_for_mail(archive)
    check(mails[-1].endswith(raw), "the mail was changed below the trace fields")
    yield f"{archive.address} has {len(mails)}, sealed; with its password it comes back byte for byte"


def refuse(scene: Scene) -> Iterable[str]:
    """Without the password nobody reads it."""
    try:
        the_archive(scene).fetch("wrong-password")
    except poplib.error_proto as refusal:
        yield f"answered with {str(refusal.args[0], 'utf-8', 'replace')}"
    else:
        raise Surprise("a wrong password opens the mailbox")


def wait_for_mail(archive: Archive) -> list[bytes]:
    """The mails as soon as there are any."""
    end = time.monotonic() + SECONDS
    while not (mails := archive.fetch()):
        check(time.monotonic() < end, f"{archive.address} is still empty after {SECONDS:.0f} s")
        time.sleep(PAUSE)
    return mails


def the_archive(scene: Scene) -> Archive:
    """The mailbox of this scene."""
    assert scene.archive is not None, "the stage has set it up"
    return scene.archive


STEPS = (
    Step("A mail to the archive mailbox comes back over POP3S with its password", keep),
    Step("A wrong password does not open the archive mailbox", refuse),
)
