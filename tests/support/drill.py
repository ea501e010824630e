"""The sums of a fault drill: what was accepted, what came of it, and what must be empty.

Per mail and recipient: accepted (250, or lost reply but found), delivered at a sink, still queued, or back with a
notice. Lost is accepted and none of the others. The sums are sets of pairs, so that a report can name them.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from email import policy
from email.parser import BytesHeaderParser

import attrs

from tests.support.load import Outcome
from tests.support.sink import Arrived

Pair = tuple[str, str]
NEAR = 5.0


@attrs.frozen
class Sums:
    """Of one drill; every set but the first two must be empty."""

    planned: int
    accepted: frozenset[Pair]
    delivered: frozenset[Pair]
    queued: frozenset[Pair]
    lost: frozenset[Pair]
    ghosts: frozenset[Pair]
    corrupt: frozenset[Pair]
    clear: frozenset[Pair]
    wrong_permanent: frozenset[str]
    doubles: Mapping[Pair, int]
    strange_doubles: Mapping[Pair, str]

    def line(self) -> str:
        """One line for the report."""
        return (
            f"planned={self.planned} accepted={len(self.accepted)} delivered={len(self.delivered)} "
            f"queued={len(self.queued)} lost={len(self.lost)} ghosts={len(self.ghosts)} "
            f"duplicates={sum(self.doubles.values())} corrupt={len(self.corrupt)} clear={len(self.clear)} "
            f"wrong-permanent={len(self.wrong_permanent)}"
        )


def pairs_of(mail: Arrived, known: Mapping[str, Outcome], by_recipient: Mapping[str, str]) -> list[Pair]:
    """Which drills this mail is: by its id, or for a carrier, whose mail is new, by its only recipient."""
    name = str(BytesHeaderParser(policy=policy.compat32).parsebytes(mail.raw)["X-Drill-Id"] or "")
    if name in known:
        return [(name, recipient) for recipient in mail.recipients]
    return [(by_recipient[to], to) for to in mail.recipients if to in by_recipient]


def count(
    outcomes: Mapping[str, Outcome],
    arrived: Sequence[Arrived],
    queued: Iterable[Pair],
    kills: Sequence[float],
    *,
    is_good: Callable[[Outcome, Arrived], bool],
    is_clear: Callable[[Outcome, Arrived], bool],
) -> Sums:
    """All sums; ``is_good`` says whether the content is whole, ``is_clear`` whether it should have been closed."""
    by_recipient = {
        one.drill.recipients[0]: name for name, one in outcomes.items() if one.drill.kind == "carrier"
    }
    found: dict[Pair, list[Arrived]] = defaultdict(list)
    for mail in arrived:
        for pair in pairs_of(mail, outcomes, by_recipient):
            found[pair].append(mail)
    said = {(name, to) for name, one in outcomes.items() for to in one.accepted}
    maybe = {(name, to) for name, one in outcomes.items() if one.unknown for to in one.drill.recipients}
    waiting = frozenset(queued)
    doubles = {
        pair: len(mails) - 1
        for pair, mails in found.items()
        if len(mails) > 1 and not outcomes[pair[0]].unknown
    }
    return Sums(
        planned=len(outcomes),
        accepted=frozenset(said | (maybe & (found.keys() | waiting))),
        delivered=frozenset(found),
        queued=waiting,
        lost=frozenset(said - found.keys() - waiting),
        ghosts=frozenset(found.keys() - said - maybe),
        corrupt=frozenset(
            p for p, mails in found.items() if not all(is_good(outcomes[p[0]], m) for m in mails)
        ),
        clear=frozenset(p for p, mails in found.items() if any(is_clear(outcomes[p[0]], m) for m in mails)),
        wrong_permanent=frozenset(
            name for name, one in outcomes.items() if any(reply.startswith("5") for reply in one.replies)
        ),
        doubles=doubles,
        strange_doubles={
            pair: _times([mail.time for mail in found[pair]], kills)
            for pair in doubles
            if not _is_near_a_kill(min(mail.time for mail in found[pair]), kills)
        },
    )


def _is_near_a_kill(first: float, kills: Iterable[float]) -> bool:
    """A double is excused if a kill cut off the note that its first copy had arrived (threats 7.1, D1).

    The sink may write a copy down a moment after its sender was killed: the bytes were on their way.
    """
    return any(abs(kill - first) <= NEAR for kill in kills)


def _times(copies: Iterable[float], kills: Sequence[float]) -> str:
    """When the copies came and when the kills were, in seconds after the first kill."""
    begin = kills[0] if kills else 0.0
    came, killed = (", ".join(f"{each - begin:.1f}" for each in sorted(times)) for times in (copies, kills))
    return f"copies at {came}; kills at {killed}"


def body_of(raw: bytes) -> bytes:
    return raw.partition(b"\r\n\r\n")[2]


def digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
