"""Outgoing mail: facts, a decision for each recipient, and the work that the decision asks for.

One mail, each recipient by its own best way; one that cannot be served does not stop the others, and the sender is
told. Nothing leaves in clear unless the Decision says ``plain`` (REL5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import txaio

from securegw.flow import protect as protecting
from securegw.flow.deciding import Case, copies
from securegw.flow.filing import sealed
from securegw.flow.history import decided, in_short
from securegw.flow.line import LARGE
from securegw.flow.protect import Edits, Plan, Protected, edits_of, protect
from securegw.flow.quarantine import is_released
from securegw.flow.treatment import NOTHING, Accepted, Finished, Treatment, successor
from securegw.fresh import Fresh
from securegw.ids import new_id
from securegw.mail.address import Address, author, header_mailboxes
from securegw.mail.errors import BadAddress, Later, MailError, UnknownSender
from securegw.mail.notice import Failure
from securegw.store import people, queue

if TYPE_CHECKING:
    from securegw.crypto.seal import MasterKey
    from securegw.flow.claims import Claims
    from securegw.flow.contents import Examiner
    from securegw.flow.notices import Notices
    from securegw.flow.places import Places
    from securegw.flow.webmail import Webmail
    from securegw.keys.issue import Issuer, Signing
    from securegw.keys.keyring import Keyring, Usable
    from securegw.policy.decision import Decision
    from securegw.policy.keywords import Given
    from securegw.store.database import Database
    from securegw.store.people import User
    from securegw.workers.work import Work

log = txaio.make_logger()

WRAPPED = ("carrier", "zip")
WAIT = 60.0
LIFE = 5 * 86400.0
NO_USER = "The sender is not a user of this gateway; an administrator has to add him."
ONE_NUMBER = "A telephone number belongs to one recipient; please write to each of them by himself."
NOT_HIS_NAME = "The message has to be signed, but its From field does not name its sender alone."


@attrs.frozen
class Way:
    """What was decided for one recipient, and what there is to do it with."""

    recipient: Address
    decision: Decision
    usable: Usable
    given: Given

    @property
    def row(self) -> queue.Recipient:
        return queue.Recipient(str(self.recipient), decision=in_short(self.decision))


@attrs.frozen
class Broken:
    """Recipients whose mail could not be made, and why."""

    ways: tuple[Way, ...]
    error: Exception


@attrs.define(eq=False, kw_only=True)
class Outgoing:
    """Decides and protects."""

    places: Places
    keyring: Keyring
    issuer: Issuer
    webmail: Webmail
    notices: Notices
    claims: Claims
    examiner: Examiner
    database: Database
    workers: Work
    master: MasterKey
    now: Callable[[], float]
    makes_users: bool = True
    users: Fresh[User] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.users = Fresh(self.now)

    async def treat(self, accepted: Accepted, recipients: list[Address]) -> Treatment:
        """Everything that comes of a mail for recipients outside."""
        try:
            user = await self._user(accepted)
        except UnknownSender as error:
            failures = [_failure(recipient, error.sentence) for recipient in recipients]
            return Treatment(finished=self.notices.about(accepted.item, accepted.message, failures, self.now()))
        ways = await self._decide(accepted, recipients, user)
        sends = [way for way in ways if way.decision.outcome == "send"]
        treatment = await self._send(accepted, sends, user)
        if len(sends) < len(ways):
            treatment += self._refuse(accepted, [way for way in ways if way.decision.outcome == "refuse"])
            treatment += await self._wait(accepted, [way for way in ways if way.decision.outcome == "wait"])
            treatment += await self._hold(accepted, [way for way in ways if way.decision.outcome == "hold"])
        told = decided(accepted.item, ((way.recipient, way.decision) for way in ways), self.now())
        return treatment + Treatment(also=(told,), copies=copies(way.decision for way in ways))

    async def _user(self, accepted: Accepted) -> User | None:
        """The inside user who sends, made on the first mail (S22); None for strangers and automatic senders."""
        sender = accepted.sender
        if sender is None or not accepted.is_from_inside or not self.places.manages(sender):
            return None
        if self.users.knows(sender.key):
            return self.users[sender.key]
        user = await self.workers.settle(self.database.read(people.get_user, sender.key))
        if user is None and not self.makes_users:
            raise UnknownSender(NO_USER)
        if user is None:
            new = people.User(address=sender.key, name=display_name(accepted, sender), created=self.now())
            user = await self.workers.settle(self.database.write(people.ensure_user, new))
        return self.users.keep(sender.key, user)

    async def _decide(self, accepted: Accepted, recipients: list[Address], user: User | None) -> list[Way]:
        keys = await self.keyring.usable(recipients)
        written_by = accepted.sender.key if user is not None and accepted.sender is not None else ""
        rules = self.places.rules
        contents = await self.examiner.look(accepted.raw, accepted.message, rules, "outgoing", written_by)
        case = Case(
            accepted.message,
            accepted.item.sender.lower(),
            inside=user is not None,
            rules=self.places.rules,
            may_sign=user is None or user.may_sign,
            may_encrypt=user is None or user.may_encrypt,
            contents=contents,
            released=is_released(accepted.item),
        )
        ways = []
        for recipient in recipients:
            usable = keys[recipient.key]
            ways.append(Way(recipient, case.decide(recipient, "outgoing", usable.methods), usable, case.given))
        return ways

    def _refuse(self, accepted: Accepted, ways: list[Way], sentence: str = "") -> Treatment:
        if not ways:
            return NOTHING
        failures = [_failure(way.recipient, sentence or way.decision.sentence) for way in ways]
        return Treatment(finished=self.notices.about(accepted.item, accepted.message, failures, self.now()))

    async def _wait(self, accepted: Accepted, ways: list[Way]) -> Treatment:
        """Those that wait become an accepted mail of their own; too long a wait ends as a refusal."""
        if not ways:
            return NOTHING
        if self.now() - accepted.item.received > LIFE:
            return self._refuse(accepted, ways)
        return await self._kept(accepted, ways, state="waiting", next_try=self.now() + WAIT)

    async def _hold(self, accepted: Accepted, ways: list[Way]) -> Treatment:
        """Those that an administrator has to look at, by the rule that wants it; released, they are decided anew."""
        by_rule: dict[tuple[bool, str, str], list[Way]] = {}
        for way in ways:
            decision = way.decision
            by_rule.setdefault((decision.quarantined, decision.rule, decision.sentence), []).append(way)
        treatment = NOTHING
        for together in by_rule.values():
            treatment += await self._kept(accepted, together, state="held")
        return treatment

    async def _kept(self, accepted: Accepted, ways: list[Way], **how: Any) -> Treatment:
        identity = new_id()
        entry = successor(
            accepted.item,
            id=identity,
            recipients=tuple(way.row for way in ways),
            body=await sealed(identity, accepted.raw, self.master, self.database.bodies, self.workers),
            session=None,
            note=ways[0].decision.sentence,
            **how,
        )
        return Treatment(finished=(Finished(entry, accepted.raw),))

    async def _send(self, accepted: Accepted, ways: list[Way], user: User | None) -> Treatment:
        signing = await self._signing(accepted, ways, user)
        nameless = [way for way in ways if way.decision.must_sign and signing is None]
        numbered = [way for way in ways if way.decision.method == "carrier" and way.given.number]
        crowd = numbered if len(numbered) > 1 else []
        treatment = self._refuse(accepted, nameless, NOT_HIS_NAME)
        treatment += self._refuse(accepted, [way for way in crowd if way not in nameless], ONE_NUMBER)
        plans, broken = [], []
        for way in ways:
            if way in nameless or way in crowd:
                continue
            try:
                plan, beside = await self._prepare(accepted, way, signing if way.decision.sign else None)
            except Exception as error:
                broken.append(Broken((way,), error))
                continue
            if plan.is_none:
                treatment += Treatment(stays=(way.row,), also=beside.also)
            else:
                plans.append((way, plan, beside))
        if plans:
            done, failed = await self._protect(accepted, _together(plans))
            treatment += done
            broken += failed
        return treatment + await self._go_on_without(accepted, broken) if broken else treatment

    async def _prepare(self, accepted: Accepted, way: Way, signing: Signing | None) -> tuple[Plan, Treatment]:
        """The work for one recipient, and what belongs into the same commit if it succeeds."""
        plan = self._plan(way, signing)
        if way.decision.method not in WRAPPED:
            return plan, NOTHING
        name = display_name(accepted, accepted.sender)
        if way.decision.method == "zip":
            cover = self.webmail.zipped(accepted, way.recipient, name, way.given.password)
        else:
            cover = await self.webmail.cover(accepted, way.recipient, name, way.given.number)
        return attrs.evolve(plan, wrap=cover.wrap), cover.beside

    async def _go_on_without(self, accepted: Accepted, broken: list[Broken]) -> Treatment:
        """Those for whom it did not work do not stop the others (S13).

        What will never work goes back to the sender. What may work later, or should never have happened, goes on alone,
        so that it is counted, tried again, and parked by itself; if nobody else is left, that is this very mail.
        """
        treatment = NOTHING
        for each in broken:
            if isinstance(each.error, MailError) and not each.error.temporary:
                treatment += self._refuse(accepted, list(each.ways), each.error.sentence)
            elif len(each.ways) == len(accepted.item.recipients):
                raise each.error
            else:
                log.warn("{trace}: {error}; the others go on", trace=accepted.item.trace, error=repr(each.error)[:200])
                for way in each.ways:
                    treatment += await self._kept(accepted, [way], state="waiting", next_try=self.now() + WAIT)
        return treatment

    def _plan(self, way: Way, signing: Signing | None) -> Plan:
        """The work for one recipient; a method that nobody here knows never becomes a mail in clear."""
        edits = edits_of(way.decision, self.places.rules.banners.get(way.decision.banner))
        plan = Plan(edits, signing, at=self.now())
        if way.decision.method in ("plain", *WRAPPED):
            return plan
        if way.decision.method == "smime" and way.usable.certificates:
            return attrs.evolve(plan, certificates=way.usable.certificates, choice=way.usable.choice)
        raise Later(detail=f"cannot protect by {way.decision.method}")

    async def _signing(self, accepted: Accepted, ways: list[Way], user: User | None) -> Signing | None:
        """The sender's key: only for a user whose From is the envelope's sender (5.5.38)."""
        sender = accepted.sender
        if user is None or sender is None or not any(way.decision.sign for way in ways):
            return None
        signing = await self.keyring.signing(sender)
        if signing is None and not any(_asks_for_a_key(way.decision) for way in ways):
            return None
        written_by = author(accepted.message)
        if written_by is None or written_by.key != sender.key:
            return None
        if signing is None:
            signing = await self._issue(sender, user, any(way.decision.must_sign for way in ways))
        return signing

    async def _issue(self, sender: Address, user: User, must: bool) -> Signing | None:
        """A key on demand (S23); without one the mail waits if it must be signed."""
        try:
            await self.issuer.issue(sender, user.name)
        except Later:
            if must:
                raise
            return None
        self.keyring.forget(sender)
        return await self.keyring.signing(sender)

    async def _protect(
        self, accepted: Accepted, plans: list[tuple[list[Way], Plan, Treatment]]
    ) -> tuple[Treatment, list[Broken]]:
        """The finished mails with what belongs to them, and those of which nothing came."""
        identities = [new_id() for _ in plans]
        work = [(identity, plan) for identity, (_, plan, _) in zip(identities, plans, strict=True)]
        results = await self._worked(accepted.raw, work)
        treatment, broken = NOTHING, []
        for (ways, _, beside), result in zip(plans, results, strict=True):
            if isinstance(result, Protected):
                finished = Finished(self._entry(accepted, ways, result), result.raw)
                treatment += beside + Treatment(finished=(finished,))
            else:
                broken.append(Broken(tuple(ways), result))
        return treatment, broken

    async def _worked(self, raw: bytes, work: list[tuple[str, Plan]]) -> list[Protected | Exception]:
        """In a process; what is large is not copied there, and a carrier is made of what stays here: in a thread."""
        if len(raw) > LARGE or any(plan.wrap is not None for _, plan in work):
            return await self.workers.thread(protect, raw, work, self.master, self.database.bodies)
        made = await self.workers.own_process(protect, raw, work, None, None)
        return [await self._sealed(each) if isinstance(each, Protected) else each for each in made]

    async def _sealed(self, made: Protected) -> Protected:
        if len(made.raw) <= LARGE:
            return attrs.evolve(made, size=len(made.raw))  # sealed if the queue gets it
        return await self.workers.thread(protecting.sealed, made, self.master, self.database.bodies)

    def _entry(self, accepted: Accepted, ways: list[Way], protected: Protected) -> queue.Entry:
        return successor(
            accepted.item,
            id=protected.identity,
            kind="ready",
            body=protected.body,
            size=protected.size,
            recipients=tuple(way.row for way in ways),
            direction="outgoing",
            session=self.claims.birth(protected.size),
            next_try=0.0,
        )


def _failure(recipient: Address, sentence: str) -> Failure:
    return Failure(recipient=str(recipient), status="5.7.1", diagnostic=sentence, sentence=sentence)


def _asks_for_a_key(decision: Decision) -> bool:
    """Who encrypts also signs where he may: so the other side learns his certificate and can answer in kind."""
    return decision.must_sign or (decision.sign and decision.method == "smime")


def _together(plans: list[tuple[Way, Plan, Treatment]]) -> list[tuple[list[Way], Plan, Treatment]]:
    """Recipients who get the very same bytes share one mail: those without encryption and with the same edits."""
    shared: dict[tuple[Edits, Signing | None], list[Way]] = {}
    result = []
    for way, plan, beside in plans:
        if plan.certificates or plan.wrap is not None:
            result.append(([way], plan, beside))
            continue
        key = (plan.edits, plan.signing)
        if key not in shared:
            shared[key] = []
            result.append((shared[key], plan, beside))
        shared[key].append(way)
    return result


def display_name(accepted: Accepted, sender: Address | None) -> str:
    """The name that the sender's From field gives, or the address."""
    try:
        field = next(field for field in accepted.message.fields if field.name.lower() == b"from")
        [mailbox] = header_mailboxes(field.value)
    except (StopIteration, ValueError, BadAddress):
        return str(sender or "")
    return mailbox.name or str(mailbox.address)
