"""The work on one mail, done in a worker in one go: edit, sign, encrypt or seal, and seal for the queue.

Plain functions of plain values: a mail crosses to a worker once, not once per operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from securegw.crypto import smime
from securegw.flow import filing
from securegw.flow.line import LARGE
from securegw.mail import message as messages
from securegw.mail.insertion import Insertion, insert

if TYPE_CHECKING:
    from securegw.crypto.seal import MasterKey
    from securegw.keys.issue import Signing
    from securegw.policy.decision import Decision
    from securegw.store.bodies import Bodies, Body


@attrs.frozen
class Edits:
    """What is changed before anything else: control fields and the subject's keywords go, a banner comes."""

    strip: tuple[str, ...] = ()
    subject: str | None = None
    banner: Insertion | None = None

    @property
    def is_none(self) -> bool:
        return not self.strip and self.subject is None and self.banner is None


@attrs.frozen
class Plan:
    """How one finished mail is made. ``wrap`` makes a carrier out of the edited mail; certificates are DER."""

    edits: Edits = Edits()
    signing: Signing | None = None
    certificates: tuple[bytes, ...] = ()
    choice: smime.Choice = smime.Choice()
    wrap: Callable[[bytes], bytes] | None = None
    at: float = 0.0

    @property
    def is_none(self) -> bool:
        """Nothing to do: the mail goes on as it came."""
        return self.edits.is_none and self.signing is None and not self.certificates and self.wrap is None


@attrs.frozen
class Protected:
    """A finished mail: its id in the queue, its bytes, and the same sealed; a large one's bytes are not kept."""

    identity: str
    raw: bytes = attrs.field(repr=False)
    size: int = 0
    body: Body = ()


def edits_of(decision: Decision, banner: Insertion | None = None) -> Edits:
    """The edits that a decision asks for; ``banner`` is the one it names."""
    return Edits(decision.strip_fields, decision.subject, banner)


def protect(
    raw: bytes, work: list[tuple[str, Plan]], master: MasterKey | None, bodies: Bodies | None
) -> list[Protected | Exception]:
    """Carry out all plans for one mail, each under the id it will have; what several have in common is done once.

    Without the master key, which no process gets, nothing is sealed. A plan that fails gives its error in the place
    of a mail: it does not stop the others, and nothing of it is kept.
    """
    signed: dict[tuple[Edits, Signing | None], bytes] = {}
    done: list[Protected | Exception] = []
    for identity, plan in work:
        try:
            done.append(_protect_one(raw, identity, plan, signed, master, bodies))
        except Exception as error:
            done.append(error)
    return done


def _protect_one(
    raw: bytes,
    identity: str,
    plan: Plan,
    signed: dict[tuple[Edits, Signing | None], bytes],
    master: MasterKey | None,
    bodies: Bodies | None,
) -> Protected:
    content = _content(raw, plan, signed)
    if plan.certificates:
        content = smime.encrypt(content, plan.certificates, plan.choice)
    made = Protected(identity, content)
    return made if master is None or bodies is None else sealed(made, master, bodies)


def sealed(made: Protected, master: MasterKey, bodies: Bodies) -> Protected:
    """The same with its body as the store keeps it; a large one goes into its file, so this is for a thread."""
    body, size = filing.seal(made.identity, made.raw, master, bodies), len(made.raw)
    return Protected(made.identity, made.raw if size <= LARGE else b"", size, body)


def _content(raw: bytes, plan: Plan, signed: dict[tuple[Edits, Signing | None], bytes]) -> bytes:
    if plan.wrap is not None:
        return _sign(plan.wrap(edit(raw, plan.edits)), plan)
    key = (plan.edits, plan.signing)
    if key not in signed:
        signed[key] = _sign(edit(raw, plan.edits), plan)
    return signed[key]


def _sign(raw: bytes, plan: Plan) -> bytes:
    if plan.signing is None:
        return raw
    by = plan.signing
    return smime.sign(raw, by.key, by.certificate, by.chain, plan.at, form=by.form, scheme=by.scheme)


def edit(raw: bytes, edits: Edits) -> bytes:
    """Cut the named fields, set the subject, put the banner in; every other byte stays."""
    if edits.strip:
        raw = messages.without(messages.read(raw), edits.strip)
    if edits.subject is not None:
        raw = messages.with_field(messages.read(raw), "Subject", messages.encode_words(edits.subject))
    return raw if edits.banner is None else insert(raw, edits.banner)
