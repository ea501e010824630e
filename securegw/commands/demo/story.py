"""The story of the demo: mails that a gateway is for, sent and looked at, one step after the other.

Each step does what people and their programs do and then looks at what came of it; it says what it saw or raises
``Surprise``. It runs in a thread of its own: the gateway works in the reactor beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from securegw.commands.demo.browser import Browser, Page, Surprise
from securegw.commands.demo.mailbox import Archive
from securegw.commands.demo.people import Papers, Person
from securegw.commands.demo.post import Inboxes, Post
from securegw.commands.demo.report import Reporter


@attrs.define
class Scene:
    """Who is there, the ways between them, and what the story has come to so far."""

    people: Mapping[str, Person]
    papers: Papers
    post: Post
    browser: Browser
    ask: Callable[..., Any]
    """Ask the gateway's database, as a command does."""
    inboxes: Inboxes = attrs.field(factory=Inboxes)
    carrier: bytes = b""
    code: str = ""
    letter: Page | None = None
    thread: str = ""
    ann_certificate: bytes = b""
    ann_opens: tuple[str, ...] = ()
    archive: Archive | None = None

    @property
    def ann(self) -> Person:
        return self.people["ann"]

    @property
    def otto(self) -> Person:
        return self.people["otto"]

    @property
    def bob(self) -> Person:
        return self.people["bob"]

    @property
    def carol(self) -> Person:
        return self.people["carol"]


@attrs.frozen
class Step:
    """One sentence of the story and the function that plays it; the function returns what it saw."""

    sentence: str
    play: Callable[[Scene], Iterable[str]]


def check(good: bool, otherwise: str) -> None:
    """Go on if it is so."""
    if not good:
        raise Surprise(otherwise)


def play(steps: Sequence[Step], scene: Scene, reporter: Reporter) -> bool:
    """Play all steps; after the first that fails the others are not tried, as they build on it."""
    for person in scene.people.values():
        scene.inboxes.skip(person.maildir)
    for number, step in enumerate(steps):
        try:
            saw = list(step.play(scene))
        except Exception as error:  # whatever went wrong, the step has failed and the others must be named
            reporter.failed(step.sentence, str(error) if isinstance(error, Surprise) else repr(error))
            for later in steps[number + 1 :]:
                reporter.skipped(later.sentence)
            return False
        reporter.done(step.sentence, saw)
    return True
