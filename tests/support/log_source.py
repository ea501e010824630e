"""A process that logs what it is told to and forwards it: for receivers that need a real one.

``python -m tests.support.log_source SETTINGS`` reads commands: ``emit FIRST LAST`` logs numbered lines, some hundred
every ten milliseconds; ``state`` prints how its receivers are, as JSON; ``stop`` ends it properly.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

TOGETHER = 200


@attrs.define
class LogSource:
    """The process as a test sees it."""

    process: subprocess.Popen[str]
    emitted: int = 0

    def emit(self, lines: int) -> None:
        """So many more numbered lines; returns when all are logged, not sent."""
        self._say(f"emit {self.emitted} {self.emitted + lines}")
        assert self._hear() == "emitted"
        self.emitted += lines

    def begin(self, lines: int) -> None:
        """The same without waiting; ``finish`` does."""
        self._say(f"emit {self.emitted} {self.emitted + lines}")
        self.emitted += lines

    def finish(self) -> None:
        assert self._hear() == "emitted"

    def state(self) -> dict[str, Any]:
        self._say("state")
        found: dict[str, Any] = json.loads(self._hear())
        return found

    def wait_for(self, good: Callable[[dict[str, Any]], bool], seconds: float = 40) -> None:
        """Ask until it is so."""
        end = time.monotonic() + seconds
        while not good(state := self.state()):
            assert time.monotonic() < end, state
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as a gateway ends."""
        if self.process.poll() is None:
            self._say("stop")
            assert self._hear() == "stopped"
            self.process.wait(20)

    def _say(self, words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()

    def _hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextlib.contextmanager
def log_source(folder: Path, **settings: Any) -> Iterator[LogSource]:
    """A process with these ``[syslog]`` settings and a buffer in the folder."""
    told = json.dumps({"folder": str(folder), **settings})
    command = [sys.executable, "-m", "tests.support.log_source", told]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        source = LogSource(process)
        try:
            assert source._hear() == "ready"
            yield source
        finally:
            process.kill()


def main(told: dict[str, Any]) -> None:
    import txaio

    txaio.use_twisted()
    from twisted.internet import reactor, stdio
    from twisted.internet.defer import Deferred
    from twisted.logger import globalLogBeginner
    from twisted.protocols.basic import LineOnlyReceiver
    from twisted.python.threadable import registerAsIOThread

    from securegw.clients import syslog
    from securegw.clients.syslog import Forwarder, SyslogSettings, place
    from securegw.workers.work import Workers, WorkersSettings

    registerAsIOThread()
    syslog.PAUSES = (0.2,)  # nobody has time to wait for half a minute here
    loop: Any = reactor
    log = txaio.make_logger()
    folder = Path(told.pop("folder"))
    told["receivers"] = tuple(place.read(at, folder) for at in told["receivers"])
    files = {name: Path(told[name]) for name in ("authorities", "certificate", "key") if name in told}
    workers = Workers(loop, WorkersSettings())
    workers.start()
    forwarder = Forwarder(SyslogSettings(**{**told, **files}), "gw.inside.test", folder / "buffer", workers, loop)
    forwarder.start()
    globalLogBeginner.beginLoggingTo([forwarder], redirectStandardIO=False, discardBuffer=True)

    def say(words: str) -> None:
        print(words, flush=True)

    def emit(number: int, last: int) -> None:
        for each in range(number, min(number + TOGETHER, last)):
            log.info("number {number} of the load", number=each)
        if number + TOGETHER < last:
            loop.callLater(0.01, emit, number + TOGETHER, last)
        else:
            say("emitted")

    async def stop() -> None:
        workers.stop()
        await forwarder.stop()
        say("stopped")
        loop.stop()

    class Commands(LineOnlyReceiver):
        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> None:
            word, *rest = line.decode().split()
            if word == "emit":
                emit(*map(int, rest))
            elif word == "state":
                queues = [(one.connected, one.queue) for one in forwarder.receivers]
                say(
                    json.dumps(
                        {
                            "connected": [connected for connected, _ in queues],
                            "waiting": [queue.waiting for _, queue in queues],
                            "on_disk": [queue.on_disk for _, queue in queues],
                            "lost": [queue.lost for _, queue in queues],
                        }
                    )
                )
            elif word == "stop":
                Deferred.fromCoroutine(stop())

    stdio.StandardIO(Commands())
    say("ready")
    loop.run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
