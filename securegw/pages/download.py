"""Sends a long answer at the reader's pace.

Not in one write: the connection's idle clock starts when an answer is finished, and a slow line would be cut off while
half of the file still waits to be sent.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from securegw.pages.headers import dress_file
from securegw.pages.request import PageRequest
from securegw.pages.site import BODY_SECONDS, SLOWEST

PIECE = 1 << 18


@implementer(IPushProducer)
class _Pieces:
    """Writes piece after piece while the transport has room; ends what takes far too long."""

    def __init__(self, request: PageRequest, content: bytes, reactor: Any) -> None:
        self.request = request
        self.rest = memoryview(content)
        self.paused = False
        self.sent: Deferred[None] = Deferred()
        self.late = reactor.callLater(BODY_SECONDS + len(content) / SLOWEST, request.channel.abort)

    def resumeProducing(self) -> None:
        self.paused = False
        while self.rest and not self.paused:
            piece, self.rest = self.rest[:PIECE], self.rest[PIECE:]
            self.request.write(bytes(piece))
        if not self.rest:
            self._end()

    def pauseProducing(self) -> None:
        self.paused = True

    def stopProducing(self) -> None:
        self.rest = self.rest[:0]
        self._end()

    def _end(self) -> None:
        if self.sent.called:
            return
        if self.late.active():
            self.late.cancel()
        self.request.unregisterProducer()
        self.sent.callback(None)


async def send_file(request: PageRequest, name: str, content: bytes) -> bytes:
    """Answer with a download."""
    dress_file(request.responseHeaders, name)
    request.setHeader("Content-Length", str(len(content)))
    if request.method == b"HEAD" or not content:
        return b""
    pieces = _Pieces(request, content, request.site.reactor)
    request.registerProducer(pieces, True)
    pieces.resumeProducing()
    await pieces.sent
    return b""
