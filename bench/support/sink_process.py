"""The counting sink as a program of its own: prints its port, then answers each line ``COUNT`` on its input.

The answer is the monotonic time (one clock for all processes of a machine) at which mail number COUNT had come.
A line ``last`` is answered with the last mail in base64: so a bench can look at what it measured.
"""

from __future__ import annotations

import base64
import contextlib
import subprocess
import sys
from collections.abc import Iterator

import attrs

from bench.support.processes import end
from tests.support.sink import Sink

SECONDS = 300.0


@attrs.frozen
class SinkProcess:
    """A sink beside us: its port, and the questions it answers."""

    port: int
    process: subprocess.Popen[str]

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def wait(self, count: int) -> float:
        """When mail number ``count`` since the last ``reset`` had come."""
        answer = self.ask(str(count))
        assert answer, f"the sink never got {count} mails"
        return float(answer)

    def reset(self) -> None:
        self.ask("reset")

    def last(self) -> bytes:
        return base64.b64decode(self.ask("last"))


@contextlib.contextmanager
def sink_process() -> Iterator[SinkProcess]:
    command = [sys.executable, "-m", "bench.support.sink_process"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield SinkProcess(int(process.stdout.readline()), process)
    finally:
        end(process)


def main() -> None:
    sink = LastOnly(keep=True, chunking=True)  # as Postfix, Exim and Exchange offer it unless told otherwise
    print(sink.port, flush=True)
    for line in sys.stdin:
        word = line.strip()
        if word == "reset":
            sink.count = 0
            print("0", flush=True)
        elif word == "last":
            print(base64.b64encode(sink.arrived[-1].raw).decode() if sink.arrived else "", flush=True)
        else:
            print(sink.wait_count(int(word), SECONDS), flush=True)
    sink.close()


class LastOnly(Sink):
    """Keeps the last mail only: a bench sends gigabytes."""

    def note(self, mail: object) -> None:
        self.arrived.clear()
        super().note(mail)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
