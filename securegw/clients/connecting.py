"""Opens a TCP connection to an address, within a time by any clock.

Not for names: nothing is looked up here, so no thread waits for a name server.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol

from securegw.clients.hop import Place


class Unreachable(Exception):
    """There is no connection, and why."""


async def connect(reactor: Any, clock: IReactorTime, place: Place, protocol: Protocol, seconds: float) -> None:
    """Connect ``protocol``; raises Unreachable."""
    address, port = place
    endpoint: Any = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
    attempt = connectProtocol(endpoint(reactor, address, port, timeout=None), protocol)  # the time is measured here
    timer = clock.callLater(seconds, attempt.cancel)
    try:
        await attempt
    except ConnectingCancelledError:
        raise Unreachable("no answer in time") from None
    except Exception as error:
        raise Unreachable(str(error) or type(error).__name__) from error
    finally:
        if timer.active():
            timer.cancel()
