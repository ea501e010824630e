r"""Talks: a dialogue with a server written down as it looks on the wire, and run against the real thing.

A talk is a text file, tests/talks/*.talk, one step a line:

    # words          a comment; the first one says what the talk is about
    C: EHLO a.test   the client sends this line; CRLF is added
    C! a\r\n\x00b    the client sends these bytes: \r \n \t \0 \\ \xNN, and {x*1000} is a thousand times x
    --               the client sends what stands above as one segment, the rest as another
    S: 250 ok        the server answers with a reply that begins like this; lines "250-" before it may be anything
    S: 250-SIZE      ... with "-" after the code: exactly this line comes next
    S: close         the server has closed the connection
    S: open          the server has not closed the connection
    S: tls           the server begins TLS; what follows is said inside it
    T: 61            61 seconds go by
    M: 2             the server has taken two messages so far

What the client says between two steps of the others is one segment, unless ``split`` cuts it into smaller ones. The
server must have said nothing else when the talk ends. ``# one segment`` marks a talk that means its segments.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

import attrs

TALKS = Path(__file__).parent.parent / "talks"


class Wire(Protocol):
    """The server as a talk sees it."""

    def send(self, data: bytes) -> None: ...

    def received(self) -> bytes:
        """What the server said since the last call."""
        ...

    def closed(self) -> bool: ...

    def tls(self) -> bool: ...

    def wait(self, seconds: float) -> None: ...

    def taken(self) -> int: ...


@attrs.frozen
class Step:
    line: int
    kind: str
    text: str


@attrs.frozen
class Talk:
    name: str
    steps: tuple[Step, ...]
    whole_segments: bool
    size: int


def read_talk(path: Path) -> Talk:
    text = path.read_text("utf-8")
    steps = [Step(number, line[:2], line[3:]) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    steps = [step for step in steps if not step.kind.startswith("#")]
    for step in steps:
        assert step.kind in {"C:", "C!", "--", "S:", "T:", "M:"}, f"{path.name}:{step.line}: not a step"
    size = sum(len(_bytes(step)) for step in steps if step.kind in {"C:", "C!"})
    return Talk(path.stem, tuple(steps), "# one segment" in text, size)


def talks(prefix: str) -> list[Talk]:
    found = [read_talk(path) for path in sorted(TALKS.glob(f"{prefix}*.talk"))]
    assert found, f"no talks {prefix}*"
    return found


def run_talk(talk: Talk, wire: Wire, split: int | None = None) -> None:
    """Hold the talk; AssertionError names the line that went otherwise."""
    run = _Run(talk, wire, split)
    for step in talk.steps:
        run.step(step)
    run.end()


class _Run:
    def __init__(self, talk: Talk, wire: Wire, split: int | None) -> None:
        self.talk = talk
        self.wire = wire
        self.split = split
        self.unsent = b""
        self.heard = b""

    def step(self, step: Step) -> None:
        if step.kind in {"C:", "C!"}:
            self.unsent += _bytes(step)
            return
        self._send()
        if step.kind == "S:":
            self._expect(step)
        elif step.kind == "T:":
            self.wire.wait(float(step.text))
        elif step.kind == "M:":
            self._check(step, self.wire.taken() == int(step.text), f"{self.wire.taken()} messages were taken")

    def end(self) -> None:
        self._send()
        self._listen()
        assert not self.heard, f"{self.talk.name}: the server also said {self.heard!r}"

    def _send(self) -> None:
        data, self.unsent = self.unsent, b""
        size = self.split or len(data) or 1
        for at in range(0, len(data), size):
            self.wire.send(data[at : at + size])

    def _listen(self) -> None:
        self.heard += self.wire.received()

    def _expect(self, step: Step) -> None:
        states = {"close": self.wire.closed, "tls": self.wire.tls, "open": lambda: not self.wire.closed()}
        if step.text in states:
            self._check(step, states[step.text](), "it is not so")
            return
        self._listen()
        line = self._line(step)
        while re.match(r"\d{3}-", line) and line[:3] == step.text[:3] and step.text[3:4] != "-":
            line = self._line(step)
        self._check(step, line.startswith(step.text), f"it said {line!r}")

    def _line(self, step: Step) -> str:
        line, end, self.heard = self.heard.partition(b"\r\n")
        self._check(step, bool(end), f"it said {line!r} and no more")
        return line.decode("utf-8")

    def _check(self, step: Step, good: bool, otherwise: str) -> None:
        assert good, f"{self.talk.name}.talk:{step.line}: {step.kind} {step.text}: {otherwise}"


_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})|\\([rnt0\\])|\{(.)\*(\d+)\}")
_LETTERS = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


def _bytes(step: Step) -> bytes:
    raw = step.text.encode("utf-8")
    return raw + b"\r\n" if step.kind == "C:" else _ESCAPE.sub(_unescape, raw)


def _unescape(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes.fromhex(match[1].decode())
    return _LETTERS[match[2]] if match[2] else match[3] * int(match[4])
