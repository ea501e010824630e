"""Two versions of the rules side by side: their texts, and what each would decide about a folder of mails.

Nothing is loaded and nothing is sent. Both versions decide about the same facts: those of a gateway's database if there
is one, and each mail is looked into as far as either version asks.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from securegw.commands import arguments as words
from securegw.commands.explain import (
    Journey,
    Known,
    decide_one,
    default_config,
    from_user,
    look_in_store,
    read_journey_of,
)
from securegw.commands.opening import Refusal, open_store, read_text
from securegw.commands.tables import Row, add_json, print_json, printable
from securegw.flow.deciding import direction_of
from securegw.mail.errors import MailError
from securegw.policy.rules import default_rules_text, read_rules
from securegw.store import rulebook

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from securegw.commands.opening import Store
    from securegw.mail.address import Address
    from securegw.policy.decision import Decision
    from securegw.policy.rules import Rules

MAILS_MOST = 100_000
# What a reader would notice if it changed; the reason by itself is no change.
COMPARED = ("outcome", "method", "methods", "sign", "mark", "tag", "subject", "strip_fields")
SAID = ("banner", "signature", "otherwise", "quarantine", "copy")


def add_try(parser: ArgumentParser) -> None:
    """``securegw rules try MAILS --with FILE``."""
    parser.add_argument("mails", metavar="MAILS", type=Path, nargs="+", help="mails, or folders of them (*.eml)")
    parser.add_argument("--with", dest="new", metavar="FILE", type=Path, required=True, help="the new rules")
    parser.add_argument("--old", metavar="FILE", type=Path, help="the old ones (default: those in force)")
    parser.add_argument("--outside", action="store_true", help="as if a stranger's server handed them over")
    parser.add_argument("--from", dest="sender", metavar="ADDRESS", type=words.address, help="the envelope's sender")
    parser.add_argument("--config", metavar="FILE", type=Path,
                        help="ask this gateway's database (default $SECUREGW_CONFIG or ./securegw.toml if there)")
    add_json(parser)


@attrs.frozen
class Change:
    """One recipient of one mail for whom the two versions differ."""

    mail: str
    recipient: str
    direction: str
    old: Decision
    new: Decision

    @property
    def what(self) -> dict[str, tuple[object, object]]:
        """What differs: name -> (before, after)."""
        pairs = {name: (getattr(self.old, name), getattr(self.new, name)) for name in COMPARED}
        pairs |= {name: (_said(self.old, name), _said(self.new, name)) for name in SAID}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def as_row(self) -> Row:
        """For JSON."""
        return {
            "mail": self.mail, "recipient": self.recipient, "direction": self.direction,
            "changes": {name: {"old": old, "new": new} for name, (old, new) in self.what.items()},
            "old": {"rule": self.old.rule, "reason": self.old.reason},
            "new": {"rule": self.new.rule, "reason": self.new.reason},
        }


def _said(decision: Decision, aspect: str) -> object:
    ruling = decision.ruling(aspect)
    return None if ruling is None else ruling.value


@attrs.define
class Trial:
    """What came of it: how many decisions were compared, which changed, which files are no mails."""

    compared: int = 0
    changes: list[Change] = attrs.field(factory=list)
    unread: list[str] = attrs.field(factory=list)


def try_rules(arguments: Namespace) -> int:
    """Compare, and print what would change. 0 also if something would: that is an answer, not a failure."""
    trial = held_trial(arguments)
    if arguments.json:
        print_json({
            "compared": trial.compared, "changed": len(trial.changes), "unread": trial.unread,
            "changes": [change.as_row() for change in trial.changes],
        })  # fmt: skip
        return 0
    for line in told(trial):
        print(printable(line))
    for name in trial.unread:
        print(f"securegw: {printable(name)}: not a mail that can be judged", file=sys.stderr)
    return 0


def held_trial(arguments: Namespace) -> Trial:
    """Every mail before both versions; the database is opened once."""
    new = read_rules(read_text(arguments.new), str(arguments.new))
    old = None if arguments.old is None else read_rules(read_text(arguments.old), str(arguments.old))
    config = arguments.config or default_config()
    trial = Trial()
    with nullcontext() if config is None else open_store(config) as store:
        old = old or in_force(store)
        for file in files_in(arguments.mails):
            try:
                journey = read_journey_of(file, arguments.sender, None, outside=arguments.outside)
            except (Refusal, MailError):
                trial.unread.append(str(file))
                continue
            known = known_of(store, journey)
            _compare_all(trial, str(file), journey, attrs.evolve(known, rules=old), attrs.evolve(known, rules=new))
    return trial


def in_force(store: Store | None) -> Rules:
    """The rules of the gateway, else the built-in ones."""
    current = store.ask(rulebook.current) if store is not None else None
    return read_rules(default_rules_text() if current is None else current.text)


def known_of(store: Store | None, journey: Journey) -> Known:
    """What is known of a mail's people, whatever the rules."""
    if store is not None:
        return store.ask(look_in_store, journey, ("", ""))
    ours = frozenset({journey.sender.domain} if journey.sender and not journey.outside else ())
    return Known(read_rules(""), "", ours)


def told(trial: Trial) -> Iterator[str]:
    """The lines for a person."""
    for change in trial.changes:
        yield f"{change.mail}: {change.recipient} ({change.direction})"
        for name, (old, new) in change.what.items():
            yield f"  {name.replace('_', ' ')}: {_word(old)} -> {_word(new)}"
        yield f'  rule: "{change.old.rule}" -> "{change.new.rule}"'
    yield f"{trial.compared} decisions compared, {len(trial.changes)} would change"


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return {True: "yes", False: "no", None: "as it is", "": "none"}.get(value, str(value))  # type: ignore[call-overload,no-any-return]


def files_in(places: list[Path]) -> Iterator[Path]:
    """The files named, and all of the folders named."""
    count = 0
    for place in places:
        found = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
        for file in found:
            count += 1
            if count > MAILS_MOST:
                raise Refusal(f"{place}: more than {MAILS_MOST} files")
            yield file


def _compare_all(trial: Trial, mail: str, journey: Journey, before: Known, after: Known) -> None:
    for recipient in journey.recipients:
        trial.compared += 1
        change = _compare(mail, journey, before, after, recipient)
        if change.what:
            trial.changes.append(change)


def _compare(mail: str, journey: Journey, before: Known, after: Known, recipient: Address) -> Change:
    direction = direction_of(ours=recipient.domain in before.domains, inside=from_user(journey, before))
    old, new = (decide_one(journey, known, recipient, direction) for known in (before, after))
    return Change(mail, str(recipient), direction, old, new)


def difference(old: str, new: str, old_name: str, new_name: str) -> Iterator[str]:
    """The lines of a unified diff."""
    yield from difflib.unified_diff(old.splitlines(), new.splitlines(), old_name, new_name, lineterm="")
