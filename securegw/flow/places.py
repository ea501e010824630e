"""Which domains are ours, where mail for each goes, and by which rules: a picture of the store, at most a second old.

Intake must answer at once, so it asks this picture and never the database. Another node or the administrator's
command changes the store; the picture follows by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from securegw.policy.rules import Rules, default_rules_text, read_rules
from securegw.store import domains, mailboxes, rulebook
from securegw.store.domains import Domain, Route

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from securegw.mail.address import Address
    from securegw.store.database import Database
    from securegw.store.mailboxes import Mailbox
    from securegw.workers.work import Work

BY_MX = Route(pattern="*", hop="", tls="may")


@attrs.frozen
class Picture:
    """The managed domains by name, the routes by pattern, the mailboxes by address, and the rules in force."""

    domains: dict[str, Domain] = attrs.field(factory=dict)
    routes: dict[str, Route] = attrs.field(factory=dict)
    version: int = 0
    rules: Rules = attrs.field(factory=lambda: read_rules(default_rules_text()))
    mailboxes: dict[str, Mailbox] = attrs.field(factory=dict)


class Places:
    """Keeps the picture fresh."""

    def __init__(self, database: Database, workers: Work) -> None:
        self.database = database
        self.workers = workers
        self.picture = Picture()

    async def refresh(self) -> None:
        """Look at the store again."""
        self.picture = await self.workers.settle(self.database.read(_look, self.picture))

    @property
    def rules(self) -> Rules:
        return self.picture.rules

    def manages(self, address: Address) -> bool:
        """Whether mail to this address is for one of our domains."""
        return address.domain in self.picture.domains

    def mailbox(self, address: Address) -> Mailbox | None:
        """The archive mailbox with this address, if there is one."""
        return self.picture.mailboxes.get(address.key) if self.picture.mailboxes else None

    def mailboxes_alone(self, addresses: Iterable[Address]) -> list[Mailbox]:
        """The mailboxes with these addresses, if all of them are such."""
        boxes = [self.mailbox(address) for address in addresses] if self.picture.mailboxes else []
        return [box for box in boxes if box is not None] if all(boxes) else []

    def route(self, address: Address) -> Route:
        """The way to an address: its own domain's, a domain's route, the route for all, else by MX."""
        ours = self.picture.domains.get(address.domain)
        if ours is not None:
            return Route(pattern=ours.name, hop=ours.route, tls=ours.tls, fingerprints=ours.fingerprints)
        routes = self.picture.routes
        return routes.get(address.domain) or routes.get("*") or BY_MX


def _look(connection: Connection, before: Picture) -> Picture:
    found_domains = {domain.name: domain for domain in domains.list_domains(connection)}
    found_routes = {route.pattern: route for route in domains.list_routes(connection)}
    boxes = {mailbox.key: mailbox for mailbox in mailboxes.list_mailboxes(connection)}
    current = rulebook.current(connection)
    if current is None or current.version == before.version:
        return attrs.evolve(before, domains=found_domains, routes=found_routes, mailboxes=boxes)
    rules = read_rules(current.text, f"rules, version {current.version}")
    return Picture(found_domains, found_routes, current.version, rules, boxes)
