"""A running gateway as check_nrpe, curl and the health command see it."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from tests.peers.conftest import demand
from tests.support.nrpe_listening import listening_doors
from tests.support.ports import free_port
from tests.support.running import ROOT, Gateway, command, prepare
from tests.support.unpack import source

CHECK_NRPE = Path("/usr/lib/nagios/plugins/check_nrpe")


@attrs.frozen
class Watched:
    """A gateway with doors for monitoring."""

    gateway: Gateway
    nrpe: int
    metrics: int

    def check_nrpe(self, *words: str, port: int = 0) -> subprocess.CompletedProcess[str]:
        demand(None if CHECK_NRPE.exists() else "check_nrpe (nagios-nrpe-plugin) is not installed")
        place = ("-H", "127.0.0.1", "-p", str(port or self.nrpe), "-t", "20")
        return subprocess.run([CHECK_NRPE, *place, *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    nrpe, metrics, inside = free_port(), free_port(), free_port()
    settings = {
        "nrpe": {"listen": [f"tcp:{nrpe}:interface=127.0.0.1"], "certificate": "tls.pem", "key": "tls.key"},
        "monitoring": {"listen": [f"tcp:{metrics}:interface=127.0.0.1"]},
        "health": {"every": "200ms", "space": ["20 MB", "10 MB"]},
    }
    gateway = prepare(tmp_path_factory.mktemp("watched"), inside=inside, outside=inside, settings=settings)
    try:
        gateway.start()
        yield Watched(gateway, nrpe, metrics)
    finally:
        gateway.stop()


@pytest.mark.parametrize("version", [(), ("-2",), ("-3",)], ids=["4", "2", "3"])
@pytest.mark.parametrize("tls", [(), ("-S", "TLSv1.2+"), ("-A", "tls.pem")], ids=["default", "tls1.2", "verified"])
def test_check_nrpe(watched: Watched, version: tuple[str, ...], tls: tuple[str, ...]) -> None:
    tls = tuple(str(watched.gateway.folder / word) if word == "tls.pem" else word for word in tls)
    ran = watched.check_nrpe(*version, *tls, "-c", "check_securegw_queue")
    assert (ran.returncode, ran.stdout) == (
        0,
        "QUEUE OK - 0 mails in the queue, 0 of them tried before, 0 held | queue=0;1000;10000;0\n",
    )


def test_check_nrpe_sees_all_checks_at_once(watched: Watched) -> None:
    ran = watched.check_nrpe("-c", "check_securegw")
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.startswith("SECUREGW OK - all 19 checks are well | queue=0;1000;10000;0 oldest=0s;14400;86400;0")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-c", "check_disk"), "there is no such check here"),
        (("-c", "check_securegw_queue", "-a", "$(id)"), "arguments are not taken here"),
        (("-c", "check_securegw_queue\nid"), "arguments are not taken here"),
    ],
)
def test_check_nrpe_gets_nothing_else(watched: Watched, words: tuple[str, ...], said: str) -> None:
    ran = watched.check_nrpe(*words)
    assert (ran.returncode, ran.stdout) == (3, f"{said}\n")


def test_check_nrpe_without_tls_is_not_answered(watched: Watched) -> None:
    ran = watched.check_nrpe("-n", "-c", "check_securegw_queue")
    assert ran.returncode == 3
    assert "QUEUE" not in ran.stdout


def test_check_nrpe_turns_red_and_green(watched: Watched) -> None:
    """A certificate that cannot be used any more, and its return."""
    file = watched.gateway.folder / "tls.pem"
    good = file.read_bytes()
    file.write_bytes(b"nothing")
    try:
        assert _until(lambda: watched.check_nrpe("-c", "check_securegw_tls").returncode == 2)
        assert "no usable certificate" in watched.check_nrpe("-c", "check_securegw_tls").stdout
        assert watched.check_nrpe("-c", "check_securegw").returncode == 2
    finally:
        file.write_bytes(good)
    assert _until(lambda: watched.check_nrpe("-c", "check_securegw_tls").returncode == 0)


def _until(true: Callable[[], bool]) -> bool:
    """Ask until it is so; each question takes a while of its own."""
    return any(true() for _ in range(200))


def test_curl_reads_health_and_metrics(watched: Watched, program: Callable[[str], str]) -> None:
    def curl(path: str) -> str:
        words = [program("curl"), "-sS", "--noproxy", "*", "--fail", f"http://127.0.0.1:{watched.metrics}{path}"]
        return subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout

    assert curl("/health").startswith("OK: all 19 checks are well\n")
    assert json.loads(curl("/health?format=json"))["state"] == "OK"
    metrics = curl("/metrics")
    assert 'securegw_check_state{check="queue"} 0.0' in metrics
    assert "process_resident_memory_bytes" in metrics


def test_prometheus_understands_the_metrics(watched: Watched) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{watched.metrics}/metrics", timeout=30) as answer:
        families = {family.name for family in text_string_to_metric_families(answer.read().decode())}
    assert families >= {"securegw_check_state", "securegw_smtp_connections", "securegw_delivered"}


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Prometheus' own judge, of the package that is only unpacked."""
    found = source("/usr/bin/promtool")
    demand(None if found else "promtool (prometheus) is neither unpacked nor installed")
    assert found is not None
    return found / "usr" / "bin" / "promtool"


def test_promtool_finds_nothing_wrong_with_the_metrics(watched: Watched, promtool: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{watched.metrics}/metrics", timeout=30) as answer:
        metrics = answer.read()
    ran = subprocess.run([promtool, "check", "metrics"], input=metrics, capture_output=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, b"")


def test_promtool_reads_the_expressions_of_the_dashboard_and_the_alarm_of_the_documentation(
    promtool: Path, tmp_path: Path
) -> None:
    dashboard = json.loads((ROOT / "etc" / "grafana" / "securegw.json").read_text("utf-8"))
    wanted = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    texts = [re.sub(r"\$\w+", ".*", text.replace("$__rate_interval", "5m")) for text in wanted]
    words = (ROOT / "docs" / "monitoring.rst").read_text()
    alarm = re.search(r"^    - alert: .*\n(?:      .*\n)+", words, re.MULTILINE)
    assert texts and alarm is not None
    curves = "".join(f"    - record: curve:{number}\n      expr: '{text}'\n" for number, text in enumerate(texts))
    rules = tmp_path / "rules.yml"
    rules.write_text(f"groups:\n  - name: securegw\n    rules:\n{curves}{alarm[0]}")
    ran = subprocess.run([promtool, "check", "rules", rules], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(texts) + 1} rules found" in ran.stdout


def test_the_health_command_asks_the_running_gateway(watched: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["health", "--json", "--config", str(watched.gateway.config)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {check["name"] for check in told["checks"]} >= {"workers", "clock", "stress"}  # only it knows these


@pytest.mark.parametrize(
    ("door", "words"),
    [("anonymous", ("-2", "-S", "TLSv1.2", "-L", "ADH:@SECLEVEL=0")), ("none", ("-n",))],
    ids=["anonymous", "none"],
)
def test_old_check_nrpe_needs_the_anonymous_mode_and_others_none(
    watched: Watched, doors: dict[str, int], door: str, words: tuple[str, ...]
) -> None:
    ran = watched.check_nrpe(*words, "-c", "check_securegw_queue", port=doors[door])
    assert (ran.returncode, ran.stdout[:8]) == (0, "QUEUE OK")


def test_who_is_in_no_named_network_is_cut_off(watched: Watched, doors: dict[str, int]) -> None:
    ran = watched.check_nrpe("-n", "-c", "check_securegw_queue", port=doors["elsewhere"])
    assert ran.returncode in (2, 3)
    assert "QUEUE" not in ran.stdout


@pytest.fixture(scope="module")
def doors() -> Iterator[dict[str, int]]:
    """The door in the modes that the gateway of this file has not."""
    with listening_doors() as ports:
        yield ports
