"""Says what would happen to a mail, for each recipient, with every ruling and its reason - and does none of it.

It sends nothing and writes nothing. With a configuration it asks the gateway's database for domains, rules, users and
keys; without one (or with ``--rules``) it takes the rules alone, and then no certificate is known.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from securegw.commands import arguments as words
from securegw.commands.inspect import wire_form
from securegw.commands.keyrows import judge_rows, sealing
from securegw.commands.opening import DEFAULT_CONFIG, Refusal, open_store, read_text
from securegw.commands.tables import Row, add_json, print_json, printable
from securegw.flow.contents import Contents, told
from securegw.flow.deciding import Case, direction_of
from securegw.flow.inside import cited, look_inside
from securegw.mail import message as messages
from securegw.mail.address import Address, author, header_mailboxes
from securegw.policy.conditions import CONTENT
from securegw.policy.explain import explain
from securegw.policy.rules import default_rules_text, read_rules
from securegw.store import domains, mailboxes, opened, people, rulebook

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from securegw.mail.message import Message
    from securegw.policy.decision import Decision
    from securegw.policy.facts import Direction
    from securegw.policy.rules import Rules


@attrs.frozen
class Known:
    """What there is to know about a mail's sender and recipients; all of it, or without a database very little."""

    rules: Rules
    rules_name: str
    domains: frozenset[str]
    may_sign: bool = True
    may_encrypt: bool = True
    opened_here: bool = False
    why: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    sealing: dict[str, Row] = attrs.field(factory=dict)
    mailboxes: dict[str, bool] = attrs.field(factory=dict)  # whether each is active


@attrs.frozen
class Journey:
    """The mail and its envelope as the command names it."""

    message: Message
    sender: Address | None
    recipients: tuple[Address, ...]
    outside: bool
    at: float


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw explain``."""
    parser.add_argument("mail", metavar="MAIL", type=Path, help="the mail, as mail.eml")
    parser.add_argument("--from", dest="sender", metavar="ADDRESS", type=words.address,
                        help="the envelope's sender (default: the author in From)")
    parser.add_argument("--to", metavar="ADDRESS", type=words.address, nargs="+", action="extend",
                        help="the envelope's recipients (default: To and Cc)")
    parser.add_argument("--outside", action="store_true", help="as if a stranger's server handed it over")
    parser.add_argument("--rules", metavar="FILE", type=Path, help="with these rules instead of those in force")
    parser.add_argument("--config", metavar="FILE", type=Path,
                        help="ask this gateway's database (default $SECUREGW_CONFIG or ./securegw.toml if there)")
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Explain one mail."""
    journey = read_journey(arguments)
    known = look(arguments, journey)
    rows = [explain_one(journey, known, recipient) for recipient in journey.recipients]
    sender = str(journey.sender) if journey.sender else "<>"
    if arguments.json:
        print_json({"sender": sender, "rules": known.rules_name, "recipients": rows})
        return 0
    print(f"From {sender}, by {known.rules_name}; nothing was sent.")
    for each in rows:
        print(f"\n{each['recipient']} ({each['direction']})")
        for line in [*each["would"], *(f"certificate {word}" for word in each["certificates"]), *sealed(each)]:
            print(f"  {printable(line)}")
    return 0


def sealed(row: Row) -> list[str]:
    """With what it would be encrypted, in a line."""
    if row["sealing"] is None:
        return []
    keys = ", ".join(f"{name} by {way}" for name, way in row["sealing"]["keys"].items())
    return [f"sealed with {row['sealing']['cipher']}; the key to {keys}"]


def read_journey(arguments: Namespace) -> Journey:
    """The mail, and the envelope from the command or else from the header."""
    return read_journey_of(arguments.mail, arguments.sender, arguments.to, outside=arguments.outside)


def read_journey_of(file: Path, sender: Address | None, to: Sequence[Address] | None, *, outside: bool) -> Journey:
    """One mail file with its envelope."""
    raw, _note = wire_form(file.read_bytes())
    message = messages.read(raw)
    if not message.fields:
        raise Refusal(f"{file}: not a mail; it has no header")
    recipients = tuple(to or header_recipients(message))
    if not recipients:
        raise Refusal(f"{file}: names no recipient; name one with --to")
    return Journey(message, sender or author(message), recipients, outside, time.time())


def header_recipients(message: Message) -> list[Address]:
    """Everybody in To and Cc, once."""
    fields = [field for field in message.fields if field.name.lower() in (b"to", b"cc")]
    found = {box.address.key: box.address for field in fields for box in header_mailboxes(field.value)}
    return list(found.values())


def look(arguments: Namespace, journey: Journey) -> Known:
    """Everything that is known, from the database if there is one."""
    named = None if arguments.rules is None else (read_text(arguments.rules), str(arguments.rules))
    config = arguments.config or default_config()
    if config is None:
        text, name = named or (default_rules_text(), "the built-in rules")
        ours = frozenset({journey.sender.domain} if journey.sender and not journey.outside else ())
        return Known(read_rules(text, name), name, ours)
    with open_store(config) as store:
        return store.ask(look_in_store, journey, named)


def default_config() -> Path | None:
    """The configuration that is there without being named, if any."""
    named = os.environ.get("SECUREGW_CONFIG")
    here = Path(named or DEFAULT_CONFIG)
    return here if named or here.exists() else None


def look_in_store(connection: Connection, journey: Journey, named: tuple[str, str] | None) -> Known:
    """One question for everything, so that it is all of one moment."""
    current = rulebook.current(connection)
    text, name = named or ((current.text, f"rules version {current.version}") if current else
                           (default_rules_text(), "the built-in rules"))
    user = people.get_user(connection, journey.sender.key) if journey.sender else None
    judged = {each.key: judge_keys(connection, each, journey.at) for each in journey.recipients}
    return Known(
        read_rules(text, name), name,
        frozenset(domain.name for domain in domains.list_domains(connection)),
        user.may_sign if user else True, user.may_encrypt if user else True, is_opened_here(connection, journey),
        {key: why for key, (why, _sealing) in judged.items()},
        {key: found for key, (_why, found) in judged.items() if found is not None},
        {mailbox.key: mailbox.active for mailbox in mailboxes.list_mailboxes(connection)},
    )


def is_opened_here(connection: Connection, journey: Journey) -> bool:
    """Whether the mail cites or carries one that the gateway has opened."""
    inside = look_inside(journey.message.raw, (), frozenset())
    return opened.any_known(connection, (*cited(journey.message), *inside.ids))


def judge_keys(connection: Connection, address: Address, at: float) -> tuple[tuple[str, ...], Row | None]:
    """A word on each known certificate of an address, and with what a mail is sealed for those that may be used."""
    found = judge_rows(connection, address, at)
    why = tuple(f"{row.fingerprint[:16]}: {reason}" for row, _may, reason in found)
    usable = [row for row, may, _reason in found if may]
    return why, sealing(usable) if usable else None


def explain_one(journey: Journey, known: Known, recipient: Address) -> Row:
    """Direction, decision and what would leave, for one recipient; a mailbox of the archive is not decided about."""
    if recipient.key in known.mailboxes:
        would = "sealed into the archive mailbox" if known.mailboxes[recipient.key] else "refused: it is suspended"
        return {
            "recipient": str(recipient), "direction": "archive", "would": [would], "certificates": [], "sealing": None,
            "decision": None,
        }
    direction = direction_of(ours=recipient.domain in known.domains, inside=from_user(journey, known))
    decision = decide_one(journey, known, recipient, direction)
    return {
        "recipient": str(recipient), "direction": direction,
        "would": explain(decision), "certificates": list(known.why.get(recipient.key, ())),
        "sealing": known.sealing.get(recipient.key) if decision.method == "smime" else None,
        "decision": decision.as_dict(),
    }


def from_user(journey: Journey, known: Known) -> bool:
    """Whether a user of ours sends it from inside."""
    return not journey.outside and journey.sender is not None and journey.sender.domain in known.domains


def decide_one(journey: Journey, known: Known, recipient: Address, direction: Direction) -> Decision:
    """The same call of the rules that the journey of a mail makes."""
    sender = journey.sender.key if journey.sender else ""
    case = Case(
        journey.message, sender, from_user(journey, known), known.rules, known.may_sign, known.may_encrypt,
        contents_of(journey, known, direction),
    )
    return case.decide(recipient, direction, frozenset({"smime"} if recipient.key in known.sealing else ()))


def contents_of(journey: Journey, known: Known, direction: Direction) -> Contents:
    """What the rules ask of the mail beyond its header, as far as it can be told here: whether it cites or carries what
    was opened by the gateway is known to its database."""
    asked = known.rules.asks.get(direction, frozenset()) & CONTENT
    if not asked:
        return Contents()
    inside = look_inside(journey.message.raw, known.rules.patterns if "pattern" in asked else (), asked)
    return told(inside.findings, direction, known.opened_here)
