from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from securegw import counters


def test_counters_and_gauges_are_written_out() -> None:
    registry = CollectorRegistry()
    accepted = counters.declare("gw_accepted", "Mails taken.", ["door"], registry=registry)
    waiting = counters.declare_gauge("gw_waiting", "Mails that wait.", registry=registry)
    accepted.labels("smtp").inc(2)
    waiting.set(3)
    text = counters.exposition(registry).decode()
    assert 'gw_accepted_total{door="smtp"} 2.0' in text
    assert "gw_waiting 3.0" in text


def test_one_name_is_declared_once() -> None:
    registry = CollectorRegistry()
    counters.declare("gw_accepted", "Mails taken.", registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        counters.declare("gw_accepted", "Mails taken.", registry=registry)
