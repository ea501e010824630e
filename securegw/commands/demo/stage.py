"""The stage of the demo: one process with the gateway, an inside and an outside mail server, and the story beside them.

Not a second way to start a gateway: ``gateway.build`` makes it from a configuration file, as under twistd.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import attrs
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
)

from securegw.commands.demo import archive, certificates, ground, letters, troubles
from securegw.commands.demo.browser import Browser
from securegw.commands.demo.mailbox import Archive
from securegw.commands.demo.people import INSIDE, OUTSIDE, Papers, Person, maildirs, make_papers, make_people
from securegw.commands.demo.post import Post
from securegw.commands.demo.report import Reporter, addresses, write_record
from securegw.commands.demo.servers import MailServer, Postbox
from securegw.commands.demo.story import Scene, play
from securegw.commands.opening import Refusal
from securegw.logs.local import LocalObserver

if TYPE_CHECKING:
    from securegw.gateway import Gateway

STORY = (*letters.STEPS, *certificates.STEPS, *troubles.STEPS, *archive.STEPS)
PLAYED = "story.played"
LOG = "securegw.log"
CARRIER = "letter-for-bob.html"


@attrs.frozen
class Stage:
    """Everything that is set up before the curtain: files, people, the services of the process."""

    folder: Path
    papers: Papers
    people: Mapping[str, Person]
    config: Path
    gateway: Gateway
    servers: Mapping[str, MailServer]
    whole: MultiService
    archive: Archive

    @property
    def listeners(self) -> dict[str, tuple[str, int]]:
        """All open ports by name."""
        own = {name: ("127.0.0.1", server.port) for name, server in self.servers.items()}
        return {**self.gateway.ports, **own}

    def scene(self) -> Scene:
        post = Post(self.listeners["smtp"][1], self.papers.ca_file, ground.STRANGER)
        return Scene(self.people, self.papers, post, Browser(self.papers.ca_file), self._ask, archive=self.archive)

    def _ask(self, question: Any, **named: Any) -> Any:
        return self.gateway.house.database.read(question, **named).result(30)


def perform(folder: Path, *, check: bool) -> int:
    """Set up, play, and end with the exit code: at once with ``check``, else at Ctrl-C."""
    if check and (folder / PLAYED).exists():
        raise Refusal(f"{folder}: the story was played here before; --check wants a new folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    from twisted.internet import reactor

    with (folder / LOG).open("a", encoding="utf-8") as log:
        _begin_log(log)
        reporter = Reporter()
        stage = set_up(folder, reactor)
        return _run(reactor, stage, reporter, check=check)


def set_up(folder: Path, reactor: Any) -> Stage:
    """Files, people, database, gateway and mail servers; nothing listens yet."""
    from securegw import gateway

    (folder / "demo.json").unlink(missing_ok=True)
    papers = make_papers(folder)
    people = make_people(folder, papers)
    ports = ground.choose_ports()
    config = ground.write_configuration(folder, papers, ports)
    settings = ground.furnish(config, papers, people, ports)
    built = gateway.build(settings, reactor)
    servers = {
        "inside": MailServer(reactor, Postbox(maildirs(people, INSIDE)), "mail.inside.test", port=ports.inside),
        "outside": MailServer(reactor, Postbox(maildirs(people, OUTSIDE)), "mx.outside.test", port=ports.outside),
    }
    whole = MultiService()
    for service in (*servers.values(), built.service):
        service.setServiceParent(whole)
    kept = Archive(ground.ARCHIVE, ground.archive_password(config, folder), ports.pop3s, papers.ca_file)
    return Stage(folder, papers, people, config, built, servers, whole, kept)


def _run(reactor: Any, stage: Stage, reporter: Reporter, *, check: bool) -> int:
    codes: list[int] = []

    def end(good: bool) -> None:
        codes.append(0 if good else 1)
        if check:
            reactor.stop()
        else:
            _invite(stage, reporter)

    def broken(failure: Any) -> None:
        reporter.failed("The demo", failure.getTraceback())
        codes.append(1)
        reactor.stop()

    def begin() -> None:
        stage.whole.privilegedStartService()
        stage.whole.startService()
        Deferred.fromCoroutine(_play(stage, reporter)).addCallbacks(end, broken)

    reactor.callWhenRunning(begin)
    reactor.addSystemEventTrigger("before", "shutdown", stage.whole.stopService)
    reactor.run()
    (stage.folder / "demo.json").unlink(missing_ok=True)
    return codes[-1] if codes else 1


async def _play(stage: Stage, reporter: Reporter) -> bool:
    await stage.gateway.opened
    write_record(stage.folder, stage.listeners, stage.people.values(), stage.papers, stage.config, stage.archive)
    good = True
    if (stage.folder / PLAYED).exists():
        reporter.say("The story was played in this folder before; its mails are in the Maildirs.\n")
    else:
        reporter.say("A gateway sends itself the mails it is for:\n")
        scene = stage.scene()
        good = await _beside(play, STORY, scene, reporter)
        (stage.folder / PLAYED).touch()
        (stage.folder / CARRIER).write_bytes(scene.carrier)
    reporter.say("\nAll went well." if good else f"\nSomething went wrong; {stage.folder / LOG} tells more.")
    return good


def _invite(stage: Stage, reporter: Reporter) -> None:
    reporter.say()
    for line in addresses(stage.folder, stage.listeners, stage.people, ground.STRANGER, CARRIER, stage.archive):
        reporter.say(line)


async def _beside(function: Callable[..., bool], *arguments: Any) -> bool:
    """Run in a thread that nobody waits for: Ctrl-C ends the demo in the middle of its story, too."""
    from twisted.internet import reactor

    done: Deferred[bool] = Deferred()

    def work() -> None:
        reactor.callFromThread(done.callback, function(*arguments))  # type: ignore[attr-defined]

    threading.Thread(target=work, name="story", daemon=True).start()
    return await done


def _begin_log(file: TextIO) -> None:
    """The gateway's log goes into the folder; the terminal is for the story."""
    observer = FilteringLogObserver(LocalObserver(file.write, file.flush), [LogLevelFilterPredicate(LogLevel.info)])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)
