"""The threshold: what the rules refuse by envelope, header and form alone is refused at the door, by a 5xx with reason.

So the server that brings it tells the sender, and nobody whose address was forged gets a notice (row R12). Only mail
from outside that is neither signed nor encrypted, and only if every recipient is refused and no rule asks what is in
it: everything else is taken and decided about on its journey, by the same rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from securegw.crypto import methods
from securegw.crypto.verdict import Verdict
from securegw.flow.deciding import Case
from securegw.mail.errors import Refused

if TYPE_CHECKING:
    from securegw.flow.places import Places
    from securegw.mail.envelope import Envelope
    from securegw.mail.message import Message


def check(envelope: Envelope, message: Message, places: Places) -> None:
    """Raises Refused with the sentence of the rule."""
    rules = places.rules
    if not rules.refuses_at_door or envelope.source.door != "smtp" or not _comes_in(envelope, places):
        return
    if methods.recognise(message) is not None:
        return
    case = Case(message, envelope.sender.key if envelope.sender else "", False, rules)
    for recipient in envelope.recipients:
        decision = case.decide(recipient, "incoming", verdict=Verdict())
        if decision.outcome != "refuse":
            return
    raise Refused(decision.sentence, detail=f"refused by the rule {decision.rule}")


def _comes_in(envelope: Envelope, places: Places) -> bool:
    """Whether it is from outside, and for people of ours alone."""
    sender = envelope.sender
    if envelope.source.inside and sender is not None and places.manages(sender):
        return False
    return all(places.manages(each) and places.mailbox(each) is None for each in envelope.recipients)
