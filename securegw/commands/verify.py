"""Says whether the verdict that stands in a mail was written by this gateway, and for this mail.

Not a judgement of the mail itself, that is ``inspect``: here only the mark is checked, with a key derived from the
master key. A mail saved from a mailbox is enough; it is not changed and nothing is sent.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from securegw.commands.inspect import wire_form
from securegw.commands.opening import Refusal, add_config, master_key, read_settings
from securegw.commands.tables import Row, add_json, print_json, print_tree
from securegw.flow.proofs import Proofs, marks_in
from securegw.mail import message as messages

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

GOOD, NOT_GOOD = 0, 1
SAID = {
    "ours": "written by this gateway for this mail",
    "forged": "NOT written by this gateway for this mail",
    "none": "there is no verdict in this mail",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Name the words after ``securegw verify``."""
    parser.add_argument("file", nargs="+", type=Path, help="a mail, saved with its whole header")
    add_config(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Check each file; 0 only if every verdict is ours."""
    proofs = Proofs(master_key(read_settings(arguments.config)))
    rows = [check(file, proofs) for file in arguments.file]
    if arguments.json:
        print_json(rows)
    else:
        for row in rows:
            print_tree(row, as_json=False)
    return GOOD if all(row["mark"] == "ours" for row in rows) else NOT_GOOD


def check(file: Path, proofs: Proofs) -> Row:
    """One mail as a row."""
    raw, _note = wire_form(file.read_bytes())
    message = messages.read(raw)
    if not message.fields:
        raise Refusal(f"{file}: not a mail; it has no header")
    proof = proofs.check(message)
    row: Row = {"file": str(file), "mark": proof.mark, "means": SAID[proof.mark]}
    if proof.mark == "ours":
        row |= {"verdict": proof.words, "trace": proof.trace, "body": proof.body}
    return row | {"opened_here": proofs.any_opened(marks_in(raw))}
