"""Runs twistd with a gateway that kills itself at a named step.

``python -m tests.support.killing POINT N`` and then the words for twistd. The product has no switch for this: the
driver wraps a few of its functions and ends the process with SIGKILL when the point is reached for the N-th time.
Points in the store are moments of a transaction that contains certain requests: before its steps are run, when they
have run and nothing is committed, and when COMMIT has returned. Each such request counts.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

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
    return lambda request: request.step.__name__ == name and test(next(iter(request.arguments), None))


def makes_account(treated: Any) -> bool:
    return any("account" in each.__name__ for each, _ in treated.also)


def tells_sender(progress: Any) -> bool:
    return bool(progress.entries)


def waits(progress: Any) -> bool:
    return progress.next_try is not None


STEPS: dict[str, Wanted] = {
    "take": step("put"),
    "treat": step("treated_many"),
    "make an account": step("treated_many", makes_account),
    "make a key": step("add"),
    "deliver": step("delivered_many", lambda progress: not waits(progress) and not tells_sender(progress)),
    "give up": step("delivered_many", tells_sender),
    "put off": step("delivered_many", waits),
    "migrate": step("upgrade"),
}
MOMENTS = ("asked", "uncommitted", "committed")


def at_moment(wanted: Wanted, moment: str, strike: Strike) -> None:
    """Strike at this moment of each transaction, once for each wanted request in it."""
    run, commit = writer._run, writer.commit
    here = threading.local()

    def reached(now: str) -> None:
        if now == moment:
            for _ in range(here.wanted):
                strike()

    def running(connection: Any, requests: Any) -> Any:
        here.wanted = sum(map(wanted, requests))
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


def arm(point: str, strike: Strike) -> None:
    """Have the process struck at this point: ``body``, ``reply``, ``statement``, or ``STEP, MOMENT``."""
    own = {"body": at_body, "reply": at_reply, "statement": at_statement}
    if point in own:
        own[point](strike)
        return
    name, moment = point.split(", ")
    assert moment in MOMENTS, moment
    at_moment(STEPS[name], moment, strike)


def kill_at(number: int) -> Strike:
    """Kills this process when it is called for the ``number``-th time."""
    count = itertools.count(1)

    def strike() -> None:
        if next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return strike


def main() -> None:
    _, point, number, *words = sys.argv
    arm(point, kill_at(int(number)))
    sys.argv[:] = ["twistd", *words]
    twistd.run()


if __name__ == "__main__":
    main()
