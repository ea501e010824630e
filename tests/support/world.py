"""A whole gateway in memory: fake clock, database in memory, a relay that remembers, people with fixed keys.

world = World()
world.send("ann@inside.test", "bob@outside.test", "hello", subject="[confidential] news")
[mail] = world.sent_to("bob@outside.test")
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from securegw import config, gateway
from securegw.clients.relay import Hop, Reply, Sent
from securegw.crypto import authority as authorities
from securegw.crypto import smime
from securegw.crypto.passwords import Cost
from securegw.crypto.seal import MasterKey
from securegw.flow.hours import Hours
from securegw.flow.line import LARGE
from securegw.flow.ways import Ways
from securegw.ids import new_id
from securegw.keys.issue import authority_row, held
from securegw.mail import message as messages
from securegw.mail.address import Address, parse_path
from securegw.mail.envelope import Envelope, Source, Wishes
from securegw.store import domains, keystore, schema
from securegw.store.database import Database
from securegw.workers.parcels import HEAD, pack_answer, pack_plainly, unpack, unpack_warily
from securegw.workers.work import InlineWorkers

START = 1_800_000_000.0
INSIDE = Source("smtp", "127.0.0.1", 25, "mail.inside.test", inside=True)
OUTSIDE = Source("smtp", "192.0.2.7", 25, "mx.outside.test")
QUICK = Cost(time=1, memory=8, lanes=1)

SETTINGS = """
[gateway]
host = "gw.inside.test"
[portal]
url = "https://portal.test"
organisation = "Inside Hospital"
certificate = "portal.pem"
key = "portal.key"
[retention]
passages_days = 90
"""


@attrs.frozen
class Delivered:
    """A mail that the relay has taken; ``checked`` if it was told that somebody has looked through it."""

    hop: Hop
    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    wishes: dict[str, Wishes] = attrs.field(factory=dict)
    ret: str = ""
    envid: str = ""
    checked: bool = False

    @property
    def message(self) -> messages.Message:
        return messages.read(self.raw)

    @property
    def subject(self) -> str:
        return messages.decode_words(self.message.first("Subject") or "")


class RememberingRelay:
    """Takes everything, unless told what to answer to whom. ``dsn``: it looks after the sender's wishes."""

    def __init__(self) -> None:
        self.dsn = False
        self.taken: list[Delivered] = []
        self.answers: dict[str, Reply] = {}

    def close(self) -> None:
        """No connection is kept here."""

    def hold(self, recipient: str) -> None:
        """Answer "later" to this recipient."""
        self.answers[recipient] = Reply(451, "4.3.0", "later", remote="relay.test")

    async def send(
        self,
        hop: Hop,
        sender: str,
        recipients: list[str],
        raw: Any,
        *,
        eight_bit: bool = False,
        utf8: bool = False,
        wishes: dict[str, Wishes] | None = None,
        ret: str = "",
        envid: str = "",
        checked: bool = False,
    ) -> Sent:
        if not isinstance(raw, bytes):  # a large one of a world that is on the disk
            reader, pieces = raw.reader(), []
            while (piece := await reader.next()) is not None:
                pieces.append(piece)
            raw = b"".join(pieces)
        if checked:  # whoever says so is right: nobody looks again
            messages.check_wire(raw)
        good = Reply(250, "2.0.0", "taken", remote="relay.test")
        replies = {recipient: self.answers.get(recipient, good) for recipient in recipients}
        taken = tuple(recipient for recipient, reply in replies.items() if reply.code == 250)
        if taken:
            self.taken.append(Delivered(hop, sender, taken, raw, wishes or {}, ret, envid, checked))
        return Sent(replies, self.dsn)


class PlainResolver:
    """Every domain has one mail server, unless told which or what goes wrong."""

    def __init__(self) -> None:
        self.hosts: dict[str, tuple[str, ...] | Exception] = {}

    async def mx(self, domain: str) -> tuple[str, ...]:
        found = self.hosts.get(domain, (f"mx.{domain}",))
        if isinstance(found, Exception):
            raise found
        return found


class InsideServer:
    """Says who exists, unless it is down; ``asked`` is whom it was asked about."""

    def __init__(self) -> None:
        self.answers: dict[str, Reply | None] = {}
        self.down = False
        self.asked: list[str] = []

    async def ask(self, hop: Hop, recipient: str) -> Reply | None:
        self.asked.append(recipient)
        return None if self.down else self.answers.get(recipient, Reply(250, "2.1.5", "ok"))


@attrs.frozen
class Person:
    """Somebody outside with a certificate of an authority of her own."""

    address: str
    key: bytes
    certificate: bytes
    root: bytes

    def sign(self, raw: bytes) -> bytes:
        return smime.sign(raw, self.key, self.certificate, (self.root,), START)


@lru_cache
def person(address: str, trusted_name: str = "Partner CA") -> Person:
    """A person, made once for all tests of a run."""
    authority_key, root = authority(trusted_name)
    key, der = authorities.issue(
        authority_key, root, address=address, name=address, kind="rsa-2048", days=900, now=START - 86400
    )
    return Person(address, key, der, root)


@lru_cache
def authority(name: str) -> tuple[bytes, bytes]:
    return authorities.make_authority(name, years=20, now=START - 86400)


@lru_cache
def own_authority() -> tuple[bytes, bytes]:
    return authorities.make_authority("Inside CA", years=20, now=START - 86400)


class CrossingDatabase(Database):
    """One whose steps cross as they do to the process that writes: what cannot cross is found in a test.

    A test's own steps need not; one that puts its own in place of ours says ``crosses = False``.
    """

    crosses = True

    def _ask(
        self, step: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any], *, many: bool
    ) -> Future[Any]:
        if not self.crosses or not step.__module__.startswith("securegw."):
            return super()._ask(step, arguments, named, many=many)
        text = pack_plainly((step, arguments, named), {})[1]
        done = super()._ask(*unpack(text, b"", {}), many=many)
        if done.exception() is None:
            head, *behind = pack_answer(done.result())
            unpack_warily(head[HEAD:], b"".join(behind))
        return done


class World:
    """A gateway whose every wheel a test turns by itself."""

    def __init__(self, workers: InlineWorkers | None = None, *, on_disk: bool = False) -> None:
        self.clock = Clock()
        self.clock.rightNow = START
        self.folder = Path(tempfile.mkdtemp(prefix="securegw-world-"))
        self.relay = RememberingRelay()
        self.resolver = PlainResolver()
        self.inside_server = InsideServer()
        self.master = MasterKey.from_text(MasterKey.new_text())
        url = f"sqlite:///{self.folder}/securegw.db" if on_disk else "sqlite://"
        self.database = CrossingDatabase(url, inline=True)
        self.database.migrate()
        self._furnish_store()
        self.workers = workers or InlineWorkers()
        self._build()

    def _build(self) -> None:
        settings = config.read(gateway.Settings, SETTINGS, str(self.folder / "securegw.toml"))
        self.house = gateway.furnish(
            settings,
            self.clock,
            database=self.database,
            workers=self.workers,
            master=self.master,
            relay=self.relay,
            ways=Ways("gw.inside.test", self.resolver, self.master),
            caller=self.inside_server,
            hours=Hours(self.clock.seconds, self.clock.seconds),
            doors=[],
            cost=QUICK,
        )
        self.wait(gateway.open_rooms(self.house))

    def close(self) -> None:
        self.wait(gateway.close_rooms(self.house))
        shutil.rmtree(self.folder)

    @property
    def bodies(self) -> list[Path]:
        """The files of large bodies, of a world that is ``on_disk``."""
        return sorted(Path(f"{self.database.url.database}.bodies").glob("*"))

    def crash(self) -> None:
        """Everything in memory is lost; new rooms around the same store, once the dead session's time is over."""
        self.clock.advance(60)
        self._build()

    def _furnish_store(self) -> None:
        self.write(domains.add_domain, domains.Domain(name="inside.test", route="[mail.inside.test]:25", tls="may"))
        key, der = own_authority()
        row = held(self.master, key, der, source="authority", trust="trusted", now=START)
        self.write(keystore.add, row)

    def write(self, step: Any, *arguments: Any) -> Any:
        return self.database.write(step, *arguments).result()

    def read(self, question: Any, *arguments: Any) -> Any:
        return self.database.read(question, *arguments).result()

    def wait(self, coroutine: Any) -> Any:
        """The result of a coroutine that ends without the world's help."""
        results: list[Any] = []
        failures: list[Any] = []
        Deferred.fromCoroutine(coroutine).addCallbacks(results.append, failures.append)
        self.clock.advance(0)
        if failures:
            failures[0].raiseException()
        assert results, "still waiting"
        return results[0]

    # --- what happens in it ---------------------------------------------------------------------------------------

    def know(self, someone: Person) -> None:
        """Trust somebody's authority and know her certificate."""
        self.trust(someone.root)
        row = held(
            self.master,
            None,
            someone.certificate,
            source="imported",
            trust="trusted",
            now=START,
            address=parse_path(someone.address).key,
        )
        self.write(keystore.add, row)

    def trust(self, root: bytes) -> None:
        row = held(self.master, None, root, source="root", trust="trusted", now=START)
        self.write(keystore.add, row)

    def send(
        self,
        sender: str,
        recipients: str | list[str],
        text: str = "hello",
        *,
        subject: str = "news",
        fields: str = "",
        source: Source = INSIDE,
        **envelope: Any,
    ) -> str:
        """Hand in a plain mail."""
        to = [recipients] if isinstance(recipients, str) else recipients
        raw = (
            f"From: {sender or 'MAILER-DAEMON@inside.test'}\r\nTo: {', '.join(to)}\r\nSubject: {subject}\r\n"
            f"Message-ID: <{new_id()}@inside.test>\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\n"
            f"{fields}\r\n{text}\r\n"
        ).encode()
        return self.hand_in(sender, to, raw, source, **envelope)

    def hand_in(self, sender: str, recipients: list[str], raw: bytes, source: Source = INSIDE, **more: Any) -> str:
        """Hand in these very bytes; ``more`` goes into the envelope, for example the sender's wishes."""
        envelope = Envelope(
            new_id(),
            parse_path(sender) if sender else None,
            tuple(map(parse_path, recipients)),
            source,
            self.clock.seconds(),
            **more,
        )
        for recipient in envelope.recipients:
            self.wait(self.house.intake.recipient(source, envelope.sender, recipient))
        trace = str(self.wait(self.house.intake.accept(envelope, raw)))
        for _ in range(2 if len(raw) > LARGE else 0):  # large mails go on from the store, one step at each look
            self.wait(self.house.claims.poll())
        return trace

    def later(self, seconds: float) -> None:
        """Let time pass and the regular work be done."""
        self.clock.advance(seconds)
        self.wait(self.house.claims.open() if seconds > 10 else self.house.claims.renew())
        self.wait(self.house.places.refresh())
        self.wait(self.house.claims.poll())
        self.clock.advance(0)

    def sent_to(self, recipient: str) -> list[Delivered]:
        """The mails that the relay has taken for somebody."""
        return [mail for mail in self.relay.taken if recipient in mail.recipients]

    def roots(self) -> Any:
        return self.read(keystore.roots)

    def dump(self) -> bytes:
        """All bytes that the store holds, as a thief would find them."""

        def tables(connection: Any) -> bytes:
            rows = [row for table in schema.metadata.sorted_tables for row in connection.execute(table.select())]
            return b"\n".join(v if isinstance(v, bytes) else repr(v).encode() for row in rows for v in row)

        return bytes(self.read(tables))

    def rows(self, table: str) -> int:
        return len(self.read(lambda c: c.execute(schema.metadata.tables[table].select()).all()))

    def author_of(self, address: str) -> Address:
        return parse_path(address)


__all__ = ["INSIDE", "OUTSIDE", "START", "Delivered", "Person", "World", "authority_row", "person"]
