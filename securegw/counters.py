"""Counters and gauges, declared where they are counted.

Not a server for them: ``prometheus_client`` writes them out, and the health checks read the same values.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # when each was made is no news, and would double their number


def declare(name: str, help: str, labels: Sequence[str] = (), *, registry: CollectorRegistry = REGISTRY) -> Counter:
    """A counter: only ever goes up. ``labels`` must come from small fixed sets, never from mail."""
    return Counter(name, help, tuple(labels), registry=registry)


def declare_gauge(name: str, help: str, labels: Sequence[str] = (), *, registry: CollectorRegistry = REGISTRY) -> Gauge:
    """A gauge: what there is now."""
    return Gauge(name, help, tuple(labels), registry=registry)


def total(name: str, *, registry: CollectorRegistry = REGISTRY) -> float:
    """The sum over all labels of a counter (its name ends with ``_total``) or gauge; 0 if nobody has declared it."""
    found = registry.restricted_registry([name]).collect()
    return sum(sample.value for metric in found for sample in metric.samples if sample.name == name)


def exposition(registry: CollectorRegistry = REGISTRY) -> bytes:
    """All of them in the text format of Prometheus."""
    return generate_latest(registry)
