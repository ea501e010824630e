"""Never in clear: what must not be seen anywhere while mails go wrong on their way, and where it is looked for."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import attrs
from twisted.logger import formatEventAsClassicLogText

from securegw.mail.errors import BadKey, Later, SealBroken, WorkerLost
from securegw.store import desk
from securegw.store.items import Chosen
from securegw.store.troubles import StoreBusy
from tests.support.world import World

OTTO = "otto@inside.test"

ERRORS: dict[str, Callable[[], Exception]] = {
    "temporary": lambda: Later(detail="x"),
    "busy": StoreBusy,
    "permanent": lambda: BadKey(detail="x"),
    "sealed": lambda: SealBroken(detail="x"),
    "unexpected": lambda: RuntimeError("x"),
    "memory": MemoryError,
    "worker": lambda: WorkerLost(detail="x"),
}

class Lines:
    """Everything that is logged, as text with tracebacks."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self, event: Any) -> None:
        failure = event.get("log_failure")
        self.text += f"{formatEventAsClassicLogText(event)}\n{failure.getTraceback() if failure else ''}\n{event!r}\n"


@attrs.frozen
class Sent:
    """One mail on its way: who sends it to whom, and the words that nobody may read; ``more`` are bytes of files."""

    sender: str
    recipients: tuple[str, ...]
    secret: str
    accepted: bool = True
    more: tuple[bytes, ...] = ()


def let_time_pass(world: World, hours: int = 2) -> None:
    for _ in range(hours):
        try:
            world.later(3600)
        except Exception as error:  # the regular look at the queue went wrong; the next one comes
            assert not isinstance(error, AssertionError)


def forms(plain: bytes) -> list[bytes]:
    """As it could be seen: plain, in quoted-printable, in base64 at any of three offsets."""
    coded = [base64.b64encode(b"\0" * shift + plain)[4:-4] for shift in range(3)]
    return [plain, plain.replace(b" ", b"=20"), *coded]


def outside(world: World, sent: Sent) -> bytes:
    taken = [mail for mail in world.relay.taken if set(mail.recipients) - {OTTO}]
    return b"\0".join(mail.raw for mail in taken)


def check(world: World, sent: Sent, lines: Lines) -> None:
    """Nowhere in clear, and nowhere lost."""
    seen = outside(world, sent)
    clear = re.sub(rb"=\r\n|\r\n", b"", seen)
    for form in [form for secret in (sent.secret.encode(), *sent.more) for form in forms(secret)]:
        assert form not in seen and form not in clear
        assert form.decode("latin-1") not in lines.text
    told = repr(world.read(lambda c: c.exec_driver_sql("SELECT * FROM event").all()))
    told += repr([item.note for item in world.read(lambda c: desk.list_items(c))])
    assert sent.secret not in told
    waiting = {to.address for item in world.read(lambda c: desk.list_items(c)) for to in item.recipients}
    for recipient in sent.recipients:
        left = any(recipient in mail.recipients for mail in world.relay.taken)
        notice = any(sent.sender in mail.recipients and recipient.encode() in mail.raw for mail in world.relay.taken)
        assert left or recipient in waiting or notice or not sent.accepted
    clear_up(world)


def clear_up(world: World) -> None:
    ids = tuple(item.id for item in world.read(lambda c: desk.list_items(c, limit=1000)))
    if ids:
        world.write(desk.delete_items, Chosen(ids))
    world.relay.taken.clear()
