"""The text after DATA: collected in bulk up to CRLF.CRLF, bounded, with its dots unstuffed.

Not a reader of lines: a line may be as long as the message, and nothing inside the text ever changes the mode
of the dialogue. Obeys RFC 5321 2.3.8 (only CRLF ends a line), 4.1.1.4 (end of data) and 4.5.2 (transparency).
"""

from __future__ import annotations

END = b"\r\n.\r\n"


class BodyReader:
    """Eats the stream after DATA; ``overflowed`` once it is longer than a text of ``limit`` bytes can be.

    An overflowing text is swallowed, not kept, until as much again has come; then it is ``hopeless``: whoever
    sends on regardless is not worth waiting for.
    """

    def __init__(self, limit: int) -> None:
        self.size = 0
        # Stuffing makes the line ".CRLF" a third longer, any other less; SIZE does not count it (RFC 1870 5).
        self._limit = limit * 4 // 3 + 3
        self._chunks: list[bytes] = []
        self._tail = b"\r\n"  # the line end of DATA itself: a text may begin with its end

    @property
    def overflowed(self) -> bool:
        return self.size > self._limit

    @property
    def hopeless(self) -> bool:
        return self.size > 2 * self._limit

    def feed(self, data: bytes) -> bytes | None:
        """Take a piece of the stream; None until the end came, then what follows the end."""
        end = self._end(data)
        if end is None:
            self._keep(data)
            return None
        self._keep(data[:end])
        return data[end:]

    def text(self) -> bytes:
        """The whole text, with the CRLF of its last line, as its author wrote it (RFC 5321 4.5.2)."""
        self._cut(3)
        raw = b"".join(self._chunks)
        self._chunks.clear()
        if b"\r\n." in raw:
            raw = raw.replace(b"\r\n.", b"\r\n")
        return raw[1:] if raw.startswith(b".") else raw

    def _end(self, data: bytes) -> int | None:
        """Where in ``data`` the end of the text is over: first across the seam, then inside."""
        seam = self._tail + data[:4]
        at = seam.find(END)
        if at >= 0:
            return at + len(END) - len(self._tail)
        at = data.find(END)
        return at + len(END) if at >= 0 else None

    def _keep(self, data: bytes) -> None:
        self.size += len(data)
        self._tail = (self._tail + data)[-4:] if len(data) < 4 else data[-4:]
        if self.overflowed:
            self._chunks.clear()
        else:
            self._chunks.append(data)

    def _cut(self, count: int) -> None:
        """Take ``count`` bytes off the end, though they may lie in several chunks."""
        while count and self._chunks:
            last = self._chunks.pop()
            if len(last) > count:
                self._chunks.append(last[:-count])
            count -= min(count, len(last))
