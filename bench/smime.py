"""S/MIME end to end: sign and encrypt what goes out, open and verify what comes in, until the last mail is out.

Against Postfix relaying without any cryptography (the ceiling of a content filter) and against Postfix with the
classic ``openssl cms`` script. Keys are RSA-2048. One mail of each run is opened or read: what does not do the work
is not measured.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import attrs

from bench.support.figures import Figure, Row, measure, write
from bench.support.generator import mail
from bench.support.peers import filtering_postfix, relaying_postfix, running_gateway
from bench.support.runs import Load, Server, passing
from bench.support.sink_process import SinkProcess, sink_process
from securegw.crypto import authority, smime
from securegw.mail.address import parse_address
from tests.support.running import Gateway, admin

ANN, CAROL = "ann@inside.test", "carol@partner.test"
STRANGER = "127.0.0.2"
OUT, OUT_SCRIPT, IN = 1000, 150, 500
WORDS = (
    "S/MIME with RSA-2048, 20 KB, 10 sessions, mails a second until the last one has reached the next hop. Outgoing: "
    "signed and encrypted; Postfix relays the same mails without cryptography, and with an ``openssl cms`` script as "
    "its content filter. Incoming: opened and verified. ``python -m bench.smime`` repeats this."
)


@attrs.frozen
class Papers:
    """Carol's and Ann's keys and certificates as files, and Carol's authority."""

    folder: Path
    carol_key: bytes
    carol: bytes
    root: bytes
    ann: bytes

    def file(self, name: str) -> Path:
        return self.folder / name


def give_papers(gateway: Gateway, folder: Path) -> Papers:
    """Carol is known and trusted; Ann has a certificate of the internal authority."""
    now = time.time()
    root_key, root = authority.make_authority("Partner people", years=2, now=now, kind="p-256")
    key, der = authority.issue(root_key, root, address=CAROL, name="Carol", days=300, now=now)
    for name, content in (("root.pem", root), ("carol.pem", der)):
        (folder / name).write_bytes(authority.to_pem(content))
        admin(gateway.config, "keys", "import", str(folder / name), "--trust")
    (folder / "carol.key").write_bytes(authority.key_to_pem(key))
    admin(gateway.config, "users", "add", ANN, "--name", "Ann Keller")
    admin(gateway.config, "keys", "issue", ANN)
    return Papers(folder, key, der, root, gateway.certificate_of(ANN))


def checked(run: partial[Figure], sink: SinkProcess, good: partial[bool]) -> Figure:
    """A run whose last mail is what it should be."""
    figure = run()
    assert good(sink.last()), "the mail that came out is not what was asked for"
    return figure


def is_sealed(papers: Papers, raw: bytes) -> bool:
    """Signed and encrypted, and Carol can open it."""
    opened = smime.open(raw, [(papers.carol_key, papers.carol)], (), time.time(), parse_address(ANN))
    return (
        opened.verdict.encrypted == "opened"
        and b"quick brown fox" in opened.raw
        and "signed" in opened.layers
    )


def is_opened(raw: bytes) -> bool:
    return b"encrypted=opened; integrity=good; trust=good; identity=good" in raw and b"quick brown fox" in raw


def holds_text(raw: bytes) -> bool:
    return b"quick brown fox" in raw


def outgoing(ours: Server, papers: Papers, sink: SinkProcess, rounds: int) -> list[Row]:
    """Sign and encrypt; the script is so slow that it gets fewer mails."""
    way = (f"--sender={ANN}", f"--recipient={CAROL}")
    load = Load(sessions=10, count=OUT, more=way)
    files = (papers.file("carol.pem"), papers.file("carol.key"), papers.file("carol.pem"))
    with relaying_postfix(sink.port) as plain, filtering_postfix(sink.port, *files) as script:
        runs = {
            plain.name: (partial(passing, plain, sink, load), partial(holds_text)),
            script.name: (
                partial(passing, script, sink, attrs.evolve(load, count=OUT_SCRIPT)),
                partial(is_sealed, papers),
            ),
            ours.name: (partial(passing, ours, sink, load), partial(is_sealed, papers)),
        }
        servers = {name: partial(checked, run, sink, good) for name, (run, good) in runs.items()}
        return measure("sign + encrypt, 20 KB", servers, rounds)


def incoming(ours: Server, papers: Papers, sink: SinkProcess, rounds: int) -> list[Row]:
    """Open and verify; Postfix relays the very same bytes."""
    raw = smime.sign(mail(20_000, CAROL, ANN), papers.carol_key, papers.carol, (), time.time())
    file = papers.file("closed")
    file.write_bytes(smime.encrypt(raw, (papers.ann,), gcm=False))
    way = (f"--sender={CAROL}", f"--recipient={ANN}", f"--mail={file}", f"--local={STRANGER}")
    load = Load(sessions=10, count=IN, more=way)
    with relaying_postfix(sink.port) as plain:
        servers = {
            plain.name: partial(passing, plain, sink, load),
            ours.name: partial(checked, partial(passing, ours, sink, load), sink, partial(is_opened)),
        }
        return measure("decrypt + verify, 20 KB", servers, rounds)


@contextmanager
def prepared(sink: SinkProcess) -> Iterator[tuple[Server, Papers]]:
    with running_gateway(sink.port) as (server, gateway), tempfile.TemporaryDirectory() as place:
        yield server, give_papers(gateway, Path(place))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with sink_process() as sink, prepared(sink) as (ours, papers):
        groups = [
            (outgoing(ours, papers, sink, rounds), "Postfix (relay)"),
            (incoming(ours, papers, sink, rounds), "Postfix (relay)"),
        ]
    write("smime", "S/MIME", WORDS, groups)


if __name__ == "__main__":
    main()
