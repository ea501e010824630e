"""Sends a text that is too large to be held: the next piece is read while the last one goes out.

Not the dialogue around it. It is a push producer: the transport says when it has had enough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from securegw.clients.smtp_text import Reader, Stuffing


@implementer(IPushProducer)
class TextSender:
    """``sent`` is called when all is with the transport, ``broken`` if the text could not be read to its end."""

    def __init__(
        self, reader: Reader, transport: Any, *, sent: Callable[[], None], broken: Callable[[], None]
    ) -> None:
        self._reader = reader
        self._transport = transport
        self._sent = sent
        self._broken = broken
        self._stuffing = Stuffing()
        self._paused = self._over = False
        self._turn: Deferred[None] | None = None

    def start(self) -> None:
        self._transport.registerProducer(self, True)
        Deferred.fromCoroutine(self._send()).addErrback(self._failed)

    def stop(self) -> None:
        """No more of it, and no end of it either."""
        if not self._over:
            self._over = True
            self._transport.unregisterProducer()
            self._wake()

    # Called by Twisted

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._wake()

    def stopProducing(self) -> None:
        self._over = True
        self._wake()

    # One piece after the other

    async def _send(self) -> None:
        coming = self._reader.next()
        while not self._over and (piece := await coming) is not None:
            coming = self._reader.next()
            await self._write(self._stuffing.add(piece))
        if self._over:
            coming.addErrback(lambda _: None)  # nobody waits for it
            return
        await self._write(self._stuffing.end())
        if not self._over:
            self._over = True
            self._transport.unregisterProducer()
            self._sent()

    async def _write(self, data: bytes) -> None:
        if self._over:
            return
        self._transport.write(data)
        while self._paused and not self._over:
            self._turn = Deferred()
            await self._turn

    def _wake(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.callback(None)

    def _failed(self, _: object) -> None:
        if not self._over:
            self._broken()
