"""The servers of a bench: Postfix that holds, Postfix that relays, Postfix with an OpenSSL filter, the gateway."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.support.runs import Server
from tests.support.ports import free_port
from tests.support.postfix import Postfix, postfix, program
from tests.support.running import Gateway, gateway

QUIET = 120.0


@contextlib.contextmanager
def holding_postfix() -> Iterator[Server]:
    """Takes mail and puts all of it on hold: what it does before its 250, and nothing else."""
    with postfix(smtpd_recipient_restrictions="check_client_access static:HOLD, permit") as running:
        yield Server("Postfix (hold)", running.port, running.master_pid(), lambda: _empty_hold(running))


def _empty_hold(running: Postfix) -> None:
    command = [program("postsuper"), "-c", str(running.folder / "etc"), "-d", "ALL"]
    subprocess.run(command, check=True, capture_output=True, timeout=QUIET)


@contextlib.contextmanager
def relaying_postfix(
    sink_port: int, name: str = "Postfix (relay)", services: str = "", **own: Any
) -> Iterator[Server]:
    """Sends everything to the sink, over as many kept-open connections as it likes."""
    with postfix(
        services=services,
        relayhost=f"[127.0.0.1]:{sink_port}",
        smtp_connection_cache_on_demand="yes",
        smtp_destination_concurrency_limit="50",
        initial_destination_concurrency="20",
        **own,
    ) as running:
        yield Server(name, running.port, running.master_pid(), lambda: _wait_empty(running))


def _wait_empty(running: Postfix) -> None:
    end = time.monotonic() + QUIET
    while running.queue_size():
        assert time.monotonic() < end, running.log()
        time.sleep(0.05)


# What a script filter of the classic kind does for each mail; $1 is the sender, $2 the recipient.
_FILTER = """\
#!/bin/sh
work=$(mktemp -d) || exit 75
trap 'rm -rf "$work"' EXIT
cat >"$work/mail" || exit 75
sed '/^$/,$d' "$work/mail" | grep -iv '^content-\\|^mime-version' >"$work/done"
{{ {work}
}} || exit 75
{back}
"""
SEAL = """\
{{ grep -i '^content-type' "$work/mail"; echo; sed '1,/^$/d' "$work/mail"; }} |
    openssl cms -sign -signer {signer} -inkey {key} -md sha256 |
    openssl cms -encrypt -aes-256-cbc {recipient} >>"$work/done"
"""
OPEN = """\
openssl cms -decrypt -recip {reader} -inkey {key} -in "$work/mail" |
    openssl cms -verify -CAfile {root} >>"$work/done"
"""
_BY_SENDMAIL = '{sendmail} -G -i -f "$1" -- "$2" <"$work/done"'
_BY_SMTP = '{source} -f "$1" -t "$2" -F "$work/done" 127.0.0.1:{port}'
_PIPE = "filter unix - n n - 20 pipe flags=Rq user=nobody argv={script} ${{sender}} ${{recipient}}\n"
_BACK = "127.0.0.1:{port} inet n - n - 100 smtpd -o content_filter=\n"


@contextlib.contextmanager
def filtering_postfix(sink_port: int, work: str, *, by_smtp: bool = False, **papers: Path) -> Iterator[Server]:
    """Postfix with ``openssl cms`` as a content filter, 20 at once: the gateway that people build themselves.

    ``work`` is SEAL or OPEN; ``papers`` are the files that it names. The mail goes back by sendmail(1), as the simple
    content filter of Postfix's FILTER_README has it, or (``by_smtp``) by the quickest client there is, smtp-source.
    """
    with tempfile.TemporaryDirectory(prefix="sg-filter-") as place:
        folder, port = Path(place), free_port()
        folder.chmod(0o755)
        script = folder / "filter"
        back = (_BY_SMTP if by_smtp else _BY_SENDMAIL).format(
            sendmail=program("sendmail"), source=program("smtp-source"), port=port
        )
        script.write_text(_FILTER.format(work=work.format(**_copied(papers, folder)).rstrip(), back=back))
        script.chmod(0o755)
        name = "Postfix + openssl cms (smtp-source)" if by_smtp else "Postfix + openssl cms"
        services = _PIPE.format(script=script) + (_BACK.format(port=port) if by_smtp else "")
        with relaying_postfix(
            sink_port,
            name,
            services,
            smtpd_words=" -o content_filter=filter:dummy",
            as_system=not by_smtp,
            filter_destination_recipient_limit="1",
        ) as server:
            yield server


def _copied(papers: dict[str, Path], folder: Path) -> dict[str, Path]:
    """The files where the filter can read them: it runs as nobody, and the keys are good for this bench only."""
    copies = {name: folder / f"{name}.pem" for name in papers}
    for name, source in papers.items():
        copies[name].write_bytes(source.read_bytes())
        copies[name].chmod(0o644)
    return copies


@contextlib.contextmanager
def running_gateway(hop: int, **sections: dict[str, object]) -> Iterator[tuple[Server, Gateway]]:
    """The gateway with the next hop for everything at this port; one address may open as many sessions as it likes.

    ``sections`` are further settings of its file.
    """
    settings = {"smtp": {"connections_per_address": 10_000, "connections_per_minute": 1_000_000}, **sections}
    with (
        tempfile.TemporaryDirectory(prefix="sg-bench-") as place,
        gateway(Path(place), inside=hop, outside=hop, settings=settings) as running,
    ):
        yield Server("securegw", running.smtp_port, running.pid, lambda: running.wait_empty(QUIET)), running
