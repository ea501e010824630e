"""S/MIME end to end: sign and encrypt what goes out, open and verify what comes in, until the last mail is out.

Against Postfix relaying without any cryptography (the ceiling of a content filter) and against Postfix with the
classic ``openssl cms`` script. Keys are RSA-2048. One mail of each run is opened or read: what does not do the work
is not measured.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import attrs

from bench.support.figures import Figure, Row, measure, write
from bench.support.generator import mail
from bench.support.peers import OPEN, SEAL, filtering_postfix, relaying_postfix, running_gateway
from bench.support.runs import Load, Server, passing
from bench.support.sink_process import SinkProcess, sink_process
from securegw.crypto import authority, smime
from securegw.mail.address import parse_address
from tests.support.running import Gateway, admin

ANN, CAROL = "ann@inside.test", "carol@partner.test"
STRANGER = "127.0.0.2"
COUNT, COUNT_SCRIPT = 1000, 150
WORDS = (
    "S/MIME with RSA-2048, 20 KB, 10 sessions, mails a second until the last one has reached the next hop. Outgoing: "
    "signed and encrypted. Incoming: opened and verified. Postfix relays the same mails without cryptography, and with "
    "an ``openssl cms`` script as its content filter, which hands them back by sendmail(1), as the simple filter of "
    "Postfix's FILTER_README does, or by smtp-source. ``python -m bench.smime`` repeats this, as root."
)


@attrs.frozen
class Papers:
    """Carol's key; Ann's certificate, whose key only the gateway has; and in files what a script needs.

    The script has a key of its own for Ann, of the same size.
    """

    folder: Path
    carol_key: bytes
    carol: bytes
    ann: bytes
    ann_of_script: bytes

    def file(self, name: str) -> Path:
        return self.folder / name


def give_papers(gateway: Gateway, folder: Path) -> Papers:
    """Carol is known and trusted; Ann has a certificate of the internal authority."""
    now = time.time()
    root_key, root = authority.make_authority("Partner people", years=2, now=now, kind="p-256")
    key, der = authority.issue(root_key, root, address=CAROL, name="Carol", days=300, now=now)
    ann_key, ann_der = authority.issue(root_key, root, address=ANN, name="Ann", days=300, now=now)
    for name, content in (("root.pem", root), ("carol.pem", der), ("ann.pem", ann_der)):
        (folder / name).write_bytes(authority.to_pem(content))
    for name, private in (("carol.key", key), ("ann.key", ann_key)):
        (folder / name).write_bytes(authority.key_to_pem(private))
    for name in ("root.pem", "carol.pem"):
        admin(gateway.config, "keys", "import", str(folder / name), "--trust")
    admin(gateway.config, "users", "add", ANN, "--name", "Ann Keller")
    admin(gateway.config, "keys", "issue", ANN)
    return Papers(folder, key, der, gateway.certificate_of(ANN), ann_der)


Good = Callable[[bytes], bool]


def checked(run: Callable[[], Figure], sink: SinkProcess, good: Good) -> Figure:
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


def is_closed(raw: bytes) -> bool:
    return b"pkcs7-mime" in raw and b"quick brown fox" not in raw


def holds_text(raw: bytes) -> bool:
    return b"quick brown fox" in raw


@contextmanager
def neighbours(sink: SinkProcess, work: str, files: Mapping[str, Path]) -> Iterator[tuple[Server, Server, Server]]:
    """Postfix without cryptography, with the script, and with the script that is in a hurry."""
    with (
        relaying_postfix(sink.port) as plain,
        filtering_postfix(sink.port, work, **files) as script,
        filtering_postfix(sink.port, work, by_smtp=True, **files) as quick,
    ):
        yield plain, script, quick


def outgoing(ours: Server, papers: Papers, sink: SinkProcess, rounds: int) -> list[Row]:
    """Sign and encrypt; the script is so slow that it gets fewer mails."""
    load = Load(sessions=10, count=COUNT, more=(f"--sender={ANN}", f"--recipient={CAROL}"))
    files = {"signer": papers.file("carol.pem"), "key": papers.file("carol.key"), "recipient": papers.file("carol.pem")}
    sealed = partial(is_sealed, papers)
    few = attrs.evolve(load, count=COUNT_SCRIPT)
    with neighbours(sink, SEAL, files) as (plain, script, quick):
        runs = {plain: (load, holds_text), script: (few, sealed), quick: (few, sealed), ours: (load, sealed)}
        return measure("sign + encrypt, 20 KB", in_turn(runs, sink), rounds)


def incoming(ours: Server, papers: Papers, sink: SinkProcess, rounds: int) -> list[Row]:
    """Open and verify; Postfix relays the very same bytes, the script opens what is closed for its own key."""
    load, for_script = (_closed(papers, reader) for reader in (papers.ann, papers.ann_of_script))
    files = {"reader": papers.file("ann.pem"), "key": papers.file("ann.key"), "root": papers.file("root.pem")}
    few = attrs.evolve(for_script, count=COUNT_SCRIPT)
    with neighbours(sink, OPEN, files) as (plain, script, quick):
        runs = {plain: (load, is_closed), script: (few, holds_text), quick: (few, holds_text), ours: (load, is_opened)}
        return measure("decrypt + verify, 20 KB", in_turn(runs, sink), rounds)


def _closed(papers: Papers, reader: bytes) -> Load:
    """Mails from Carol, signed by her and encrypted to this certificate of Ann's."""
    raw = smime.sign(mail(20_000, CAROL, ANN), papers.carol_key, papers.carol, (), time.time())
    with tempfile.NamedTemporaryFile(dir=papers.folder, delete=False) as file:
        file.write(smime.encrypt(raw, (reader,)))
    way = (f"--sender={CAROL}", f"--recipient={ANN}", f"--mail={file.name}", f"--local={STRANGER}")
    return Load(sessions=10, count=COUNT, more=way)


def in_turn(runs: Mapping[Server, tuple[Load, Good]], sink: SinkProcess) -> dict[str, Callable[[], Figure]]:
    return {
        server.name: partial(checked, partial(passing, server, sink, load), sink, good)
        for server, (load, good) in runs.items()
    }


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
            (rows, peer)
            for rows in (outgoing(ours, papers, sink, rounds), incoming(ours, papers, sink, rounds))
            for peer in ("Postfix (relay)", "Postfix + openssl cms")
        ]
    write("smime", "S/MIME", WORDS, groups)


if __name__ == "__main__":
    main()
