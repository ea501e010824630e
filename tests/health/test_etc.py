"""The files for monitoring systems say nothing that the gateway does not have."""

from __future__ import annotations

import json
import re
from pathlib import Path

from securegw import counters, gateway
from securegw.health.checks import CHECKS
from securegw.servers.snmp_tree import COLUMNS
from tests.support.snmp_names import CHECKS as CHECK_ENTRY

ETC = Path(__file__).parents[2] / "etc"


def test_every_check_is_a_service_of_nagios() -> None:
    text = (ETC / "nagios" / "services.cfg").read_text("utf-8")
    assert re.findall(r"check_command +check_securegw!(\w+)", text) == list(CHECKS)
    commands = set(re.findall(r"command_name +(\w+)", (ETC / "nagios" / "commands.cfg").read_text("utf-8")))
    assert {command.split("!")[0] for command in re.findall(r"check_command +(\S+)", text)} <= commands


def test_every_curve_of_the_dashboard_has_a_metric() -> None:
    assert gateway.build is not None  # with the whole house, all rooms have declared their counters
    dashboard = json.loads((ETC / "grafana" / "securegw.json").read_text("utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    wanted = {name for text in expressions for name in re.findall(r"\b(?:securegw|process)_\w+", text)}
    known = set(re.findall(r"^# TYPE (\w+)", counters.exposition().decode(), re.MULTILINE))
    assert wanted - known == set()
    assert len(wanted) > 10
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_mib_has_a_column_for_each_of_ours() -> None:
    text = (ETC / "snmp" / "SECUREGW-MIB.txt").read_text("ascii")
    columns = [int(number) for number in re.findall(r"::= \{ sgwCheckEntry (\d+) \}", text)]
    assert columns == [1, *COLUMNS]
    assert CHECK_ENTRY[-1] == 1


def test_all_names_fit_into_the_index_of_the_mib() -> None:
    assert all(re.fullmatch(r"[a-z]{1,32}", name) for name in CHECKS)
