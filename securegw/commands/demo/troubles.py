"""The story's third part: recipients that refuse, delay and keep silent. Nothing may be lost or told to the wrong."""

from __future__ import annotations

import time
from collections.abc import Iterable

from securegw.commands.demo.browser import Surprise
from securegw.commands.demo.post import PAUSE, write
from securegw.commands.demo.story import Scene, Step, check
from securegw.store import desk
from securegw.store.items import Item

REFUSE, DELAY, SILENT = (f"{name}@outside.test" for name in ("refuse", "delay", "silent"))
SECONDS = 60.0


def tell_refusal(scene: Scene) -> Iterable[str]:
    """Otto gets a notice with the reason, and without the text of his mail."""
    raw = write(scene.otto, REFUSE, "To nobody", "Secret of Otto: marker-9201.\n").as_bytes()
    scene.post.submit(scene.otto, REFUSE, raw)
    mail = scene.inboxes.wait(
        scene.otto, "the notice", lambda mail: mail.message.get_content_type() == "multipart/report"
    )
    check(mail.holds("5.7.1") and mail.holds(REFUSE), "the notice does not say who refused and why")
    check(not mail.holds("marker-9201"), "the notice tells the text of the mail")
    check("Return-Path: <>" in mail.raw.decode("latin-1"), "the notice has a sender and may go in circles")
    yield f"{scene.otto.address} has {mail.subject!r}"


def try_again(scene: Scene) -> Iterable[str]:
    """A server that says 451 at first gets the mail at the second try, once."""
    raw = write(scene.otto, DELAY, "With patience", "marker-9202\n").as_bytes()
    scene.post.submit(scene.otto, DELAY, raw)
    started = time.monotonic()
    maildir = scene.bob.maildir.parent / DELAY
    mail = scene.inboxes.wait_in(maildir, "the second try", lambda mail: "marker-9202" in mail.text)
    check(mail.raw.endswith(raw), "the mail was changed")
    yield f"arrived after {time.monotonic() - started:.1f} s"


def keep(scene: Scene) -> Iterable[str]:
    """A server that never answers: the mail stays in the queue, and the reason can be read there."""
    scene.post.submit(scene.otto, SILENT, write(scene.otto, SILENT, "Hello?", "marker-9203\n").as_bytes())
    item = _wait_for_note(scene)
    check(not _has_mail(scene), "a mail arrived that was never answered for")
    yield f"waits in the queue after try {item.tries}: {item.note}"


def _wait_for_note(scene: Scene) -> Item:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        items: list[Item] = scene.ask(desk.list_items, address=SILENT)
        check(len(items) <= 1, f"there are {len(items)} mails to {SILENT} in the queue")
        if items and items[0].tries and items[0].note:
            return items[0]
        time.sleep(PAUSE)
    raise Surprise(f"after {SECONDS:.0f} s the queue does not tell of a try to {SILENT}")


def _has_mail(scene: Scene) -> bool:
    return (scene.bob.maildir.parent / SILENT).exists()


STEPS = (
    Step("A refused mail comes back as a notice without its text", tell_refusal),
    Step("A delayed mail arrives at the second try", try_again),
    Step("A mail to a silent server stays in the queue and says why", keep),
)
