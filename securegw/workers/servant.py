"""What runs in a worker process: one piece of work after the other, each answered before the next is begun.

The order is a promise: when a process dies, the first piece of work that it has not answered is the one to blame.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import resource
import signal
import socket
import traceback
from contextlib import suppress
from typing import Any

from securegw.mail.errors import MailError
from securegw.workers.parcels import HEAD, lengths, pack_answer, prepare, unpack

PR_SET_PDEATHSIG = 1  # prctl(2)
GRACE = 60  # seconds for a process that was told to go: systemd tells all at once, and the gateway has work for it


def bound_process(parent: int, memory: int) -> None:
    """Bound a worker process: memory, no core file (SEC10), no signal meant for the gateway, no life without it."""
    # What it may write to, not its address space: of that much is only reserved.
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))
    with suppress(AttributeError, OSError):  # Linux; elsewhere an orphan ends when its pipe does
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def serve(pipe: socket.socket, parent: int, memory: int, room: str) -> None:
    """Say that we are there, then work until there is nobody who asks. ``room`` is the module of the first work."""
    bound_process(parent, memory)
    with suppress(Exception):  # in the time for the start; what is wrong with it is told to who asks for the work
        prepare(room)
        importlib.import_module(room)
    gc.freeze()  # what was imported stays
    _say(pipe, pack_answer(None))
    kept: dict[int, Any] = {}
    with suppress(ConnectionError):
        while (parcel := _hear(pipe)) is not None:
            _say(pipe, _done(*parcel, kept))


def _hear(pipe: socket.socket) -> tuple[bytes, bytes] | None:
    """The next piece of work: the text of its parcel, and what is behind it."""
    if not (head := _exactly(pipe, HEAD)):
        return None
    text, behind = lengths(head)
    return _exactly(pipe, text), _exactly(pipe, behind)


def _exactly(pipe: socket.socket, count: int) -> bytes:
    """So many bytes; none at the end."""
    found = pipe.recv(count, socket.MSG_WAITALL) if count else b""
    while 0 < len(found) < count:  # a process that was stopped and goes on
        more = pipe.recv(count - len(found), socket.MSG_WAITALL)
        found = found + more if more else b""
    return found


def _say(pipe: socket.socket, pieces: list[bytes]) -> None:
    for piece in pieces:
        pipe.sendall(piece)


def _done(text: bytes, behind: bytes, kept: dict[int, Any]) -> list[bytes]:
    """The answer: whether it went well, and the result or the error."""
    try:
        function, args, kwargs = unpack(text, behind, kept)
        return pack_answer((True, function(*args, **kwargs)))
    except Exception as error:
        if not isinstance(error, MailError):
            error.add_note("".join(traceback.format_exception(error))[-2000:])
        return pack_answer((False, error))
