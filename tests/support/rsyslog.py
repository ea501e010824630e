"""rsyslog as the receiver of our log, from a configuration of its own; killed and started as often as a test likes."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from tests.support.certificates import Pair
from tests.support.ports import free_port, wait_for_port

PROGRAM = "/usr/sbin/rsyslogd"
MODULES = ("/usr/lib/rsyslog", "/usr/lib/x86_64-linux-gnu/rsyslog", "/usr/lib/aarch64-linux-gnu/rsyslog")

CONFIGURATION = """\
global(workDirectory="{folder}" maxMessageSize="8k" parser.escapeControlCharactersOnReceive="off"
{tls_files})
module(load="imudp")
module(load="imptcp")
{tls}
template(name="raw" type="string" string="%rawmsg%\\n")
template(name="read" type="string" string="%syslogfacility-text%.%syslogseverity-text% %hostname% %programname% \
%msgid% %structured-data%%msg%\\n")
ruleset(name="all") {{
  action(type="omfile" file="{folder}/raw" template="raw")
  action(type="omfile" file="{folder}/read" template="read")
}}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="all")
input(type="imptcp" address="127.0.0.1" port="{tcp}" ruleset="all" supportOctetCountedFraming="on")
"""
TLS = """\
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="{mode}" {peer})
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="all")
"""


def missing() -> str | None:
    """What this machine has not, in words."""
    if shutil.which(PROGRAM) is None:
        return "rsyslogd (rsyslog) is not installed"
    if not any(Path(folder, "lmnsd_ossl.so").exists() for folder in MODULES):
        return "TLS for rsyslog (rsyslog-openssl) is not installed"
    return None


def _wait_for_tls(port: int, seconds: float = 20) -> None:
    """Shake hands and part properly: rsyslog complains of anything else, and a test looks at its complaints."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    end = time.monotonic() + seconds
    while True:
        try:
            with context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=5)) as wrapped:
                wrapped.unwrap()
        except ConnectionRefusedError:
            assert time.monotonic() < end, f"nothing listens on port {port}"
            time.sleep(0.02)
        except OSError:  # it wants a certificate of us: then it is there
            return
        else:
            return


@attrs.define
class Rsyslog:
    """One rsyslogd: its ports stay the same over restarts."""

    folder: Path
    udp: int
    tcp: int
    tls: int | None = None
    process: subprocess.Popen[str] | None = None

    @classmethod
    def prepare(cls, folder: Path, pair: Pair | None = None, roots: Path | None = None, peer: str = "") -> Rsyslog:
        """``pair`` and ``roots`` for TLS; ``peer`` is the name that a client must show."""
        made = cls(folder, free_port(), free_port(), free_port() if pair else None)
        files, tls = "", ""
        if pair is not None:
            files = f'defaultNetstreamDriverCAFile="{roots}" defaultNetstreamDriverCertFile="{pair.certificate}" '
            files += f'defaultNetstreamDriverKeyFile="{pair.key}"'
            name = f'permittedPeer=["{peer}"]' if peer else ""
            tls = TLS.format(mode="x509/name" if peer else "anon", peer=name, port=made.tls)
            # An input must come behind its ruleset.
            module, _, opened = tls.partition("\n")
        text = CONFIGURATION.format(
            folder=folder, udp=made.udp, tcp=made.tcp, tls_files=files, tls=module if tls else ""
        )
        (folder / "rsyslog.conf").write_text(text + (opened if tls else ""))
        return made

    def start(self) -> None:
        words = [PROGRAM, "-n", "-f", str(self.folder / "rsyslog.conf"), "-i", str(self.folder / "pid")]
        with (self.folder / "said").open("a") as said:
            self.process = subprocess.Popen(words, stdout=said, stderr=said, text=True)
        wait_for_port(self.tcp, alive=lambda: self.process is not None and self.process.poll() is None)
        if self.tls is not None:
            _wait_for_tls(self.tls)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(how)
            process.wait(30)

    def raw(self) -> list[str]:
        return self._lines("raw")

    def read(self) -> list[str]:
        """As rsyslog has understood them."""
        return self._lines("read")

    def numbers(self) -> list[int]:
        """Those of a numbered load, as often as each came."""
        return [int(found[1]) for line in self.raw() if (found := re.search(r"number (\d+) of the load$", line))]

    def said(self) -> str:
        return (self.folder / "said").read_text()

    def wait_for(self, good: Callable[[Rsyslog], bool], seconds: float = 40) -> None:
        end = time.monotonic() + seconds
        while not good(self):
            assert time.monotonic() < end, f"{self.raw()[-3:]}\n{self.said()}"
            time.sleep(0.05)

    def _lines(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text("utf-8").splitlines() if file.exists() else []
