"""Builds all rooms of one gateway in floor order, and opens and closes them. Not the doors."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from securegw.accounts import Accounts
from securegw.clients.call_ahead import CallAhead
from securegw.clients.hop import Place
from securegw.clients.mx import Resolver
from securegw.clients.relay import Relay
from securegw.crypto.passwords import Cost
from securegw.crypto.seal import MasterKey, load_master_key
from securegw.flow.archive import Archive
from securegw.flow.claims import Claims
from securegw.flow.connector import read_connector
from securegw.flow.contents import Examiner
from securegw.flow.delivery import Delivery
from securegw.flow.first_tries import FirstTries
from securegw.flow.gate import Gate
from securegw.flow.hours import Hours
from securegw.flow.incoming import Incoming
from securegw.flow.intake import Intake
from securegw.flow.journey import Journey
from securegw.flow.messenger import Messenger
from securegw.flow.notices import Notices
from securegw.flow.outgoing import Outgoing
from securegw.flow.park import Park
from securegw.flow.passages import Passages
from securegw.flow.pickup import Pickup
from securegw.flow.places import Places
from securegw.flow.proofs import Proofs
from securegw.flow.quarantine import Quarantine
from securegw.flow.recipients import Recipients
from securegw.flow.retention import Retention
from securegw.flow.room import folder_of
from securegw.flow.undecryptable import Undecryptable
from securegw.flow.ways import Ways
from securegw.flow.webmail import Webmail
from securegw.gateway.settings import Settings
from securegw.health import Places as HealthPlaces
from securegw.health import Watch
from securegw.keys.issue import Issuer
from securegw.keys.keyring import Keyring
from securegw.keys.mailboxes import MailboxKeys
from securegw.keys.published import Published
from securegw.keys.revocations import Revocations
from securegw.mail.errors import StoreBusy
from securegw.mail.texts import Texts
from securegw.servers.connections import Doorkeeper
from securegw.servers.smtp_room import TextRoom
from securegw.store import apart
from securegw.store.database import Database, place
from securegw.store.fence import FILE
from securegw.tls import ClientTLS
from securegw.workers.scribe import Scribe
from securegw.workers.work import Work, Workers


@attrs.frozen
class House:
    """All rooms of one gateway, built and not yet open."""

    settings: Settings
    database: Database
    workers: Work
    texts: Texts
    places: Places
    claims: Claims
    keyring: Keyring
    published: Published
    issuer: Issuer
    revocations: Revocations
    accounts: Accounts
    park: Park
    intake: Intake
    webmail: Webmail
    notices: Notices
    outgoing: Outgoing
    incoming: Incoming
    journey: Journey
    delivery: Delivery
    retention: Retention
    quarantine: Quarantine
    pickup: Pickup
    health: Watch
    relay: Any
    texts_coming: TextRoom
    doors: list[Place]
    callers: Doorkeeper  # of all SMTP doors: their limits are for them together
    scribe: Scribe | None = None  # writes for an SQLite file


def furnish(
    settings: Settings,
    reactor: Any,
    *,
    database: Database,
    workers: Any,
    master: MasterKey,
    relay: Any,
    ways: Ways,
    caller: Any,
    hours: Hours,
    doors: list[Place],
    cost: Cost,
) -> House:
    """Build all rooms in floor order. ``doors`` is where our own listeners are noted once they are open."""
    now: Callable[[], float] = reactor.seconds
    own = settings.gateway
    texts = Texts()
    keyring = Keyring(settings.keys, database, workers, master, now)
    issuer = Issuer(settings.keys, database, workers, master, now)
    revocations = Revocations(settings.keys, database, workers, master, now)
    accounts = Accounts(database, master, workers, now, cost)
    mailbox_keys = MailboxKeys(accounts=accounts, database=database, workers=workers, now=now)
    places = Places(database, workers)
    node = f"{socket.gethostname()}/{os.getpid()}"
    claims = Claims(database, workers, master, reactor, node, Gate(settings.workers.large_memory))
    notices = Notices(own.host, own.language, texts, master, claims, keywords=lambda: places.rules.keywords)
    recipients = Recipients(
        seconds=settings.intake.call_time,
        connections=settings.intake.call_connections,
        places=places,
        ways=ways,
        caller=caller,
        database=database,
        workers=workers,
        clock=reactor,
    )
    archive = Archive(places=places, notices=notices, claims=claims, database=database, workers=workers, now=now)
    intake = Intake(
        accounts=accounts,
        archive=archive,
        recipients=recipients,
        connector=read_connector(settings.intake.connector_networks, settings.intake.connector_field),
        settings=settings.intake,
        host=own.host,
        places=places,
        claims=claims,
        database=database,
        master=master,
        workers=workers,
    )
    park = Park(own.directory / "parked", now)
    messenger = Messenger(settings.sms, settings.portal.organisation, settings.portal.host, notices, texts, now)
    webmail = Webmail(
        settings=settings.portal,
        accounts=accounts,
        intake=intake,
        notices=notices,
        messenger=messenger,
        texts=texts,
        letters_parked=park,
        database=database,
        workers=workers,
        master=master,
        now=now,
    )
    proofs = Proofs(master)
    passages = Passages(database, workers, master, now, wanted=settings.retention.passages_days > 0)
    examiner = Examiner(database, workers, proofs, passages)
    outgoing = Outgoing(
        places=places,
        keyring=keyring,
        issuer=issuer,
        webmail=webmail,
        notices=notices,
        claims=claims,
        examiner=examiner,
        database=database,
        workers=workers,
        master=master,
        now=now,
        makes_users=settings.keys.new_users == "first-mail",
    )
    incoming = Incoming(
        host=own.host,
        places=places,
        keyring=keyring,
        notices=notices,
        claims=claims,
        examiner=examiner,
        proofs=proofs,
        passages=passages,
        undecryptable=Undecryptable(database, workers, now),
        workers=workers,
        master=master,
        now=now,
    )
    delivery = Delivery(
        settings=settings.delivery,
        places=places,
        ways=ways,
        hours=hours,
        relay=relay,
        notices=notices,
        claims=claims,
        database=database,
        workers=workers,
        now=now,
    )
    journey = Journey(
        places=places,
        outgoing=outgoing,
        incoming=incoming,
        archive=archive,
        claims=claims,
        first_tries=FirstTries(delivery, claims, database, workers, master, claims.reactor),
        database=database,
        workers=workers,
        master=master,
        now=now,
    )
    claims.work("accepted", journey.treat, most=100)  # some of them wait a moment for a neighbour
    claims.work("ready", delivery.deliver, most=1000, in_parts=True)  # most of them wait for a neighbour
    return House(
        settings,
        database,
        workers,
        texts,
        places,
        claims,
        keyring,
        Published(database, workers, now, lambda: places.picture.domains, expired=settings.ldap.expired),
        issuer,
        revocations,
        accounts,
        park,
        intake,
        webmail,
        notices,
        outgoing,
        incoming,
        journey,
        delivery,
        Retention(
            settings=settings.retention,
            tidy_days=settings.keys.tidy_days,
            database=database,
            workers=workers,
            now=now,
            hours=hours,
        ),
        Quarantine(
            settings=settings.quarantine,
            places=places,
            notices=notices,
            database=database,
            workers=workers,
            hours=hours,
            now=now,
        ),
        Pickup(keys=mailbox_keys, claims=claims, database=database, workers=workers, clock=reactor),
        Watch(settings.health, _health_places(settings, database, claims, hours), database, workers, now),
        relay,
        TextRoom(settings.smtp.memory),
        doors,
        Doorkeeper(settings.smtp.room(), now),
    )


def _health_places(settings: Settings, database: Database, claims: Claims, hours: Hours) -> HealthPlaces:
    """What the checks look at beside the database's rows."""
    return HealthPlaces(
        folders=folders_of(settings, database),
        certificates=settings.certificates,
        queue_limit=settings.intake.queue_limit,
        moved=lambda: hours.moved,
        committed=lambda: claims.renewed,
    )


def folders_of(settings: Settings, database: Database) -> tuple[Path, ...]:
    """The folders whose disks must not be full."""
    own = settings.gateway.directory
    return tuple(sorted({own, folder_of(database) or own}))


def build_rooms(settings: Settings, reactor: Any) -> House:
    """All rooms by the settings of a machine: the database is opened and migrated, nothing listens yet."""
    own = settings.gateway
    master = load_master_key(own.master_key)
    database = Database(
        place(settings.database.url, own.directory),
        readers=settings.database.readers,
        fence=own.directory / FILE,
        coming=own.directory,
    )
    try:
        database.lock()
        database.migrate()
        database.tidy()
    except BaseException:
        database.close()
        raise
    tls, resolver = ClientTLS(settings.relay.authorities), Resolver(reactor, own_names=[own.host])
    doors: list[Place] = []
    workers = Workers(reactor, settings.workers, largest=settings.intake.size_limit)
    scribe = scribe_of(reactor, database, workers.memory)
    house = furnish(
        settings,
        reactor,
        database=database,
        workers=workers,
        master=master,
        relay=Relay(reactor, own.host, settings.relay, tls=tls, resolver=resolver, doors=doors),
        ways=Ways(own.host, resolver, master),
        caller=CallAhead(reactor, own.host, tls=tls, resolver=resolver, doors=doors),
        hours=Hours(reactor.seconds),
        doors=doors,
        cost=Cost(),
    )
    return attrs.evolve(house, scribe=scribe)


def scribe_of(reactor: Any, database: Database, memory: int) -> Scribe | None:
    """A process that writes for an SQLite file; it is made when something is to be written."""
    if not database.is_file:
        return None
    url = database.url.render_as_string(hide_password=False)
    scribe = Scribe(reactor, apart.write, url, memory, lambda why: StoreBusy(detail=why))
    database.hand_over(scribe)
    return scribe


async def open_rooms(house: House) -> None:
    """What must be done before the first door opens."""
    house.workers.start()
    house.park.clear()
    await house.places.refresh()
    await house.claims.open()
    house.health.look()


async def close_rooms(house: House) -> None:
    """Finish what is under way and hand back the rest."""
    await house.claims.close()
    house.relay.close()
    house.workers.stop()
    if house.scribe is not None:
        await house.scribe.close()
    house.database.close()
