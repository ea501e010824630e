"""Runs twistd with a gateway that kills itself at a named step.

``python -m tests.support.killing TRAP`` and then the words for twistd. The product has no switch for this: the driver
wraps a few of its functions, and while the file TRAP says ``POINT N`` it ends the process with SIGKILL when that point
is reached for the N-th time. Without the file the gateway works as ever, so a life that ends at one point can first
bring in order what the kill before it has left. Points in the store are moments of a transaction that contains
certain requests: before its steps are run, when they have run and nothing is committed, and when COMMIT has returned.
Each such request counts. The process that writes to the database is armed as well, and takes the gateway with it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import txaio
from alembic.ddl.impl import DefaultImpl
from twisted.internet import tcp
from twisted.scripts import twistd

from securegw.store import writer
from securegw.store.writer import Request

Wanted = Callable[[Request], bool]
Strike = Callable[[], None]


def step(name: str, test: Callable[[Any], bool] = lambda argument: True) -> Wanted:
    """Requests for the step of this name with such an argument."""
    return lambda request: getattr(request.step, "__name__", "") == name and test(next(iter(request.arguments), None))


def makes_account(treated: Any) -> bool:
    return any("account" in each.__name__ for each, _ in treated.also)


def tells_sender(progress: Any) -> bool:
    return bool(progress.entries)


def delivers(progress: Any) -> bool:
    return not waits(progress) and not tells_sender(progress)


def at_once(progress: Any) -> bool:
    """The treatment is part of this step."""
    return progress.treated is not None


def waits(progress: Any) -> bool:
    return progress.next_try is not None


STEPS: dict[str, Wanted] = {
    "take": step("put"),
    "treat": step("treated_many"),
    "make an account": step("treated_many", makes_account),
    "make a key": step("add"),
    "deliver": step("delivered_many", lambda progress: delivers(progress) and not at_once(progress)),
    "deliver at once": step("delivered_many", lambda progress: delivers(progress) and at_once(progress)),
    "give up": step("delivered_many", tells_sender),
    "put off": step("delivered_many", waits),
    "migrate": step("upgrade"),
}
LAID = "SECUREGW_TEST_TRAP"
MOMENTS = ("asked", "uncommitted", "committed")


@attrs.define
class Trap:
    """The file that says where to die; whoever lays it does so between two mails."""

    file: Path
    processes: tuple[int, ...] = attrs.field(factory=lambda: (os.getpid(),))
    reached: int = 0

    def lay(self, point: str, number: int) -> None:
        """Die at this point when it is reached for this time."""
        name, _, moment = point.partition(", ")
        assert point in OWN or (name in STEPS and moment in MOMENTS), point
        fresh = self.file.with_name(f"{self.file.name}.new")
        fresh.write_text(f"{point}\n{number}")
        fresh.replace(self.file)

    def lift(self) -> None:
        self.file.unlink(missing_ok=True)

    def strike(self, point: str) -> None:
        """Called in the gateway at every point that it reaches."""
        try:
            wanted, number = self.file.read_text().splitlines()
        except FileNotFoundError:
            return
        if wanted == point:
            self.reached += 1
            if self.reached == int(number):
                for process in self.processes:
                    os.kill(process, signal.SIGKILL)


def at_moments(trap: Trap) -> None:
    """Strike at each moment of each transaction, once for each request in it that is of a named step."""
    run, commit = writer._run, writer.commit
    here = threading.local()

    def reached(moment: str) -> None:
        for name in here.steps:
            trap.strike(f"{name}, {moment}")

    def running(connection: Any, requests: Any) -> Any:
        here.steps = [name for request in requests for name, wanted in STEPS.items() if wanted(request)]
        reached("asked")
        return run(connection, requests)

    def committing(connection: Any) -> None:
        reached("uncommitted")
        commit(connection)
        reached("committed")

    writer._run, writer.commit = running, committing


def at_body(strike: Strike) -> None:
    """When the body has been read and nothing of it is stored."""
    txaio.use_twisted()  # as the plugin does, before it imports a room that tells something
    from securegw.flow.intake import Intake

    accept = Intake.accept

    async def accepting(self: Intake, envelope: Any, raw: bytes) -> str:
        strike()
        return await accept(self, envelope, raw)

    Intake.accept = accepting  # type: ignore[method-assign]


def at_reply(strike: Strike) -> None:
    """When the kernel has been given the 250."""
    write = tcp.Connection.writeSomeData

    def writing(self: tcp.Connection, data: bytes) -> Any:
        written = write(self, data)
        if b"250 2.0.0 Taken" in data:
            strike()
        return written

    tcp.Connection.writeSomeData = writing


def at_statement(strike: Strike) -> None:
    """In the middle of a migration: when one of its statements has run."""
    execute = DefaultImpl._exec

    def executing(self: DefaultImpl, *words: Any, **named: Any) -> Any:
        result = execute(self, *words, **named)
        strike()
        return result

    DefaultImpl._exec = executing  # type: ignore[method-assign]


OWN = {"body": at_body, "reply": at_reply, "statement": at_statement}


def arm(trap: Trap) -> None:
    """Have the trap told of every point: ``body``, ``reply``, ``statement``, and each ``STEP, MOMENT``."""
    at_moments(trap)
    for point, watch in OWN.items():
        watch(partial(trap.strike, point))


def main() -> None:
    _, trap, *words = sys.argv
    os.environ[LAID] = trap
    arm(Trap(Path(trap)))
    sys.argv[:] = ["twistd", *words]
    twistd.run()


if __name__ == "__main__":
    main()
elif __name__ == "__mp_main__":  # a process of that gateway
    at_moments(Trap(Path(os.environ[LAID]), (os.getppid(), os.getpid())))
