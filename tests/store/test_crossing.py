"""Values that cross to the process that writes: nothing of them is lost, and their names are not sent along."""

from __future__ import annotations

import attrs
import pytest

from securegw.store.events import Event
from securegw.store.items import Entry, Progress, Recipient, Treated
from securegw.workers.parcels import pack_plainly, unpack

WHOM = Recipient("bob@outside.test", "done", "250 2.0.0 taken", {"outcome": "send"}, "NEVER", "rfc822;bob@outside.test")
ENTRY = Entry(
    id="1",
    kind="ready",
    trace="t",
    sender="",
    recipients=(WHOM,),
    source={"door": "smtp"},
    size=3,
    received=1.5,
    body=(b"x",),
)
TREATED = Treated(id="1", session=7, stays=(WHOM,), entries=(ENTRY,), direction="outgoing", keep=True, now=2.0)
EVENT = Event(time=3.0, kind="accepted", detail={"size": 3})
PROGRESS = Progress(id="1", session=7, before=(WHOM,), news=(WHOM,), treated=TREATED, next_try=None)


@pytest.mark.parametrize("value", [WHOM, ENTRY, TREATED, EVENT, PROGRESS], ids=lambda value: type(value).__name__)
def test_all_of_it_arrives_and_no_names(value: attrs.AttrsInstance) -> None:
    _head, text = pack_plainly(value, {})
    assert unpack(text, b"", {}) == value
    assert all(field.name.encode() not in text for field in attrs.fields(type(value)) if len(field.name) > 8)


def test_it_is_still_frozen_there() -> None:
    arrived = unpack(pack_plainly(WHOM, {})[1], b"", {})
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        arrived.state = "waiting"
