"""The builder by itself: mails signed and encrypted a second, on one thread and on two, against ``cryptography.pkcs7``.

Both sides get the same mail and the same RSA-2048 keys and do the same work: a detached SHA-256 signature, then
AES-256-CBC to one recipient, the result as a mail. Keys and certificates are parsed before. The last mail of each run
is opened and verified by ``openssl cms``: what does not do the work is not measured.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.serialization import pkcs7

from bench.support.figures import Figure, Row, measure, publish, table
from bench.support.generator import mail
from securegw.crypto import authority, ber, cms_write, der, smime
from securegw.crypto.certificate import load
from securegw.crypto.cms_decrypt import decrypt
from securegw.crypto.entity import cut
from securegw.crypto.keyfile import load_key
from securegw.mail.message import read

ANN, CAROL = "ann@inside.test", "carol@partner.test"
OURS, THEIRS = "securegw", "cryptography pkcs7"
SIZES = {"20 KB": (20_000, 3000), "200 KB": (200_000, 600), "25 MB": (25_000_000, 8)}
WORDS = (
    "Signed (RSA-2048, SHA-256, detached) and encrypted (AES-256-CBC, one recipient with RSA-2048), mails a second, in "
    "one process without any network. The last mail of each run is opened and verified by ``openssl cms``. "
    "Below: opening what came in pieces of 1,000 bytes without lengths, megabytes a second: each megabyte takes as "
    "long at any size. ``python -m bench.cms`` repeats this."
)


@attrs.frozen
class Papers:
    """Who signs, who is encrypted to, and who vouches for both; the same as files for openssl."""

    key: bytes
    signer: bytes
    reader_key: bytes
    reader: bytes
    root: bytes
    folder: Path

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


def give_papers(folder: Path) -> Papers:
    now = time.time()
    root_key, root = authority.make_authority("Bench", years=2, now=now, kind="p-256")
    key, signer = authority.issue(root_key, root, address=ANN, name="Ann", days=30, now=now)
    reader_key, reader = authority.issue(root_key, root, address=CAROL, name="Carol", days=30, now=now)
    return Papers(key, signer, reader_key, reader, root, folder)


Build = Callable[[], bytes]


def ours(papers: Papers, raw: bytes) -> Build:
    def build() -> bytes:
        signed = smime.sign(raw, papers.key, papers.signer, (), time.time())
        return smime.encrypt(signed, (papers.reader,))

    return build


def theirs(papers: Papers, raw: bytes) -> Build:
    """As its documentation shows it; the header of the mail is put in front as we do it."""
    outer, entity = cut(read(raw))
    signer, key, reader = load(papers.signer), load_key(papers.key), load(papers.reader)
    smime_form, options = serialization.Encoding.SMIME, pkcs7.PKCS7Options

    def build() -> bytes:
        signing = pkcs7.PKCS7SignatureBuilder().set_data(entity).add_signer(signer, key, hashes.SHA256())
        signed = signing.sign(smime_form, [options.DetachedSignature, options.Binary])
        sealing = pkcs7.PKCS7EnvelopeBuilder().set_data(signed).add_recipient(reader)
        sealing = sealing.set_content_encryption_algorithm(algorithms.AES256)
        return outer + sealing.encrypt(smime_form, [options.Binary])

    return build


def timed(papers: Papers, build: Build, count: int, threads: int) -> Figure:
    """All mails on so many threads; the last one is looked at after the clock has stopped."""
    last: list[bytes] = []

    def work() -> None:
        for _ in range(count // threads):
            made = build()
        last.append(made)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    started, cpu = time.perf_counter(), time.process_time()
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    took, used = time.perf_counter() - started, time.process_time() - cpu
    assert len(last) == threads, "a thread has died"
    check(papers, last[0])
    return Figure(count / took, used * 1000 / count)


def check(papers: Papers, made: bytes) -> None:
    """openssl opens and verifies it, or the run is void."""
    key = papers.file("key.pem", authority.key_to_pem(papers.reader_key))
    reader = papers.file("reader.pem", authority.to_pem(papers.reader))
    root = papers.file("root.pem", authority.to_pem(papers.root))
    inner = papers.folder / "inner"
    opened = ("-decrypt", "-in", papers.file("mail", made), "-recip", reader, "-inkey", key, "-out", inner)
    verified = ("-verify", "-in", inner, "-CAfile", root, "-purpose", "smimesign", "-out", papers.folder / "text")
    for words in (opened, verified):
        subprocess.run(["openssl", "cms", *map(str, words)], check=True, capture_output=True, timeout=120)
    assert b"quick brown fox" in (papers.folder / "text").read_bytes()


def in_pieces(papers: Papers, size: int) -> bytes:
    """EnvelopedData as Outlook and BouncyCastle write it: no length is told, the text is in pieces of 1,000 bytes."""
    kind, wrapped = ber.whole(cms_write.encrypt_cbc(bytes(size), [papers.reader])).parts(2)
    version, recipients, encrypted = wrapped.parts(1)[0].parts(3)
    kind_of_content, cipher, text = encrypted.parts(3)
    pieces = [der.octets(text.content[at : at + 1_000]) for at in range(0, len(text.content), 1_000)]
    content = b"\x30\x80" + kind_of_content.raw + cipher.raw + b"\xa0\x80" + b"".join(pieces) + b"\0\0" * 2
    return b"\x30\x80" + kind.raw + b"\xa0\x80\x30\x80" + version.raw + recipients.raw + content + b"\0\0" * 3


def opened(papers: Papers, sealed: bytes, size: int) -> Figure:
    """Megabytes a second, and CPU time for each."""
    started, cpu = time.perf_counter(), time.process_time()
    assert len(decrypt(sealed, [(papers.reader_key, papers.reader)]).content) == size
    took, used = time.perf_counter() - started, time.process_time() - cpu
    return Figure(size / 1e6 / took, used * 1000 / (size / 1e6))


def read_pieces(papers: Papers, rounds: int) -> list[Row]:
    """As fast for each megabyte whatever the size: what reads it takes linear time."""
    servers = {
        f"{size // 1_000_000} MB": partial(opened, papers, in_pieces(papers, size), size)
        for size in (6_000_000, 12_000_000, 25_000_000)
    }
    return measure("open, indefinite lengths", servers, rounds)


def compare(papers: Papers, name: str, size: int, count: int, rounds: int) -> list[Row]:
    raw = mail(size, ANN, CAROL)
    builders = {OURS: ours(papers, raw), THEIRS: theirs(papers, raw)}
    servers = {
        f"{who}, {threads} thread{'s' * (threads - 1)}": partial(timed, papers, build, count, threads)
        for who, build in builders.items()
        for threads in (1, 2)
    }
    return measure(f"sign + encrypt, {name}", servers, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    groups = []
    with tempfile.TemporaryDirectory() as place:
        papers = give_papers(Path(place))
        for name, (size, count) in SIZES.items():
            rows = compare(papers, name, size, count, rounds)
            groups += [(rows, f"{THEIRS}, 1 thread"), (rows[:2], f"{OURS}, 1 thread")]
        pieces = read_pieces(papers, rounds)
    tables = [line for rows, peer in groups for line in table(rows, peer, "mail")]
    tables += table(pieces, "6 MB", "MB")
    record = [attrs.asdict(row) for rows in (*(rows for rows, _ in groups), pieces) for row in rows]
    publish("cms", "Building S/MIME", WORDS, tables, record)


if __name__ == "__main__":
    main()
