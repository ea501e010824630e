"""A large text that goes to the disk while it comes: sealed, part by part, so that few of its bytes are in memory.

Not a body before its transaction: nobody knows the file until a row names it, and what a crash leaves is swept at the
next start (``store/bodies``). It is sealed as bodies are, so that it becomes one without being read again; only its
top, the trace field, is known last. All that touches the disk is done in threads. Who writes faster than they do is
told to wait (``behind``). A trouble on the disk is told at the end of the text, where an answer is due.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from securegw.crypto.seal import PART
from securegw.flow.claims import BODY
from securegw.mail.errors import MailError
from securegw.mail.message import HEADER_LIMIT

if TYPE_CHECKING:
    from securegw.crypto.seal import MasterKey
    from securegw.store.bodies import Bodies, BodyFile, Filed
    from securegw.workers.work import Work

HEAD = HEADER_LIMIT + 1024  # as much of the beginning as the longest header takes
WINDOW = 2 * PART  # what may wait for the disk


class Spool:
    """One text. ``identity`` is the id of the item that it may become, ``head`` its beginning.

    Where ``holds_head``, that is not written: fields in it may have to go, which is known last; it comes with the top.
    """

    def __init__(
        self,
        identity: str,
        master: MasterKey,
        bodies: Bodies,
        workers: Work,
        check: Callable[[int], None],
        *,
        holds_head: bool = False,
    ) -> None:
        self.identity = identity
        self.head = b""
        self.holds_head = holds_head
        self.master = master
        self._flow = master.flow(BODY, identity)
        self._bodies = bodies
        self._workers = workers
        self._check = check
        self._size = 0
        self._ascii = True
        self._waiting = bytearray()
        self._writing = self._ending = self._gone = self._kept = False
        self._problem: Exception | None = None
        self._calm: Callable[[], None] | None = None
        self._idle: Deferred[None] | None = None
        # Of whichever thread writes now; there is one at a time.
        self._file: BodyFile | None = None
        self._rest = bytearray()

    def __len__(self) -> int:
        return self._size

    @property
    def written(self) -> int:
        """How much of it is not held back."""
        return self._size - len(self.head) if self.holds_head else self._size

    def isascii(self) -> bool:
        return self._ascii

    # What whoever reads the text calls

    @property
    def behind(self) -> bool:
        """More waits for the disk than should."""
        return len(self._waiting) > WINDOW

    def when_calm(self, call: Callable[[], None]) -> None:
        """Call once when it is not ``behind`` any more."""
        self._calm = call

    def add(self, data: bytes) -> None:
        self._size += len(data)
        self._ascii = self._ascii and data.isascii()
        if len(self.head) < HEAD:
            room = HEAD - len(self.head)
            self.head += data[:room]
            data = data[room:] if self.holds_head else data
        if self._problem is None and not self._gone:
            self._waiting += data
            self._go_on()

    def drop(self) -> None:
        """The text is not wanted, unless it has been kept."""
        if self._kept or self._gone:
            return
        self._gone = True
        self._waiting = bytearray()
        if not self._writing:
            self._workers.disk(self._remove)

    # What whoever keeps it calls

    async def end(self, top: bytes) -> Filed:
        """All that came is on the disk, with ``top`` before it; raises what has gone wrong."""
        self._ending = True
        if self._writing:
            self._idle = Deferred()
            await self._idle
        if self._problem is not None:
            raise self._problem
        return await self._workers.disk(self._finish, self._take(), top)

    def keep(self) -> None:
        """A row names it, or may: the file is no longer ours."""
        self._kept = True

    def read(self, filed: Filed) -> bytes:
        """All of it, in a thread."""
        with closing(self._bodies.find(self.identity, filed)) as parts:
            return self.master.open_parts(BODY, self.identity, parts)

    # On the reactor

    def _take(self) -> bytearray:
        taken, self._waiting = self._waiting, bytearray()
        return taken

    def _go_on(self) -> None:
        if self._writing or self._ending or len(self._waiting) < PART:
            return
        try:
            self._check(self._size)
        except MailError as problem:
            self._fail(problem)
            return
        self._writing = True
        self._workers.disk(self._write, self._take()).addCallbacks(self._written, self._not_written)

    def _written(self, _: None) -> None:
        self._writing = False
        if self._gone:
            self._workers.disk(self._remove)
        elif self._idle is not None:
            self._idle.callback(None)
        else:
            self._go_on()
        if self._calm is not None and not self.behind:
            calm, self._calm = self._calm, None
            calm()

    def _not_written(self, failure: Failure) -> None:
        self._fail(failure.value if isinstance(failure.value, Exception) else RuntimeError(str(failure.value)))
        self._written(None)

    def _fail(self, problem: Exception) -> None:
        """What comes now is counted, and not kept."""
        self._problem = problem
        self._waiting = bytearray()

    # In a thread

    def _write(self, text: bytearray, *, last: bool = False) -> None:
        if self._file is None:
            self._file = self._bodies.begin(self.identity)
        self._rest += text
        at = 0
        while len(self._rest) - at > PART:  # something is left for the last part, which says that it is the last
            with memoryview(self._rest) as rest, rest[at : at + PART] as part:
                sealed = self._flow.next(part)
            self._file.add(sealed)
            at += PART
        del self._rest[:at]
        if last:
            self._file.add(self._flow.next(bytes(self._rest), last=True))
            self._rest.clear()

    def _finish(self, text: bytearray, top: bytes) -> Filed:
        self._write(text, last=True)
        assert self._file is not None
        return self._file.end(self._flow.top(top))

    def _remove(self) -> None:
        if self._file is not None:
            self._file.drop()
