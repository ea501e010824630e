"""Each check by what was found, without looking anywhere."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from securegw.health.checks import CHECKS, DAY, Answer, Buffer, Findings, Ground, judge
from securegw.health.settings import HealthSettings
from securegw.health.table import Check, Levels, State
from securegw.store.census import Census
from securegw.store.items import Counts

NOW = 1_000_000.0
SETTINGS = HealthSettings()
GOOD = Findings(
    now=NOW,
    answer=Answer(census=Census(counts=Counts()), seconds=0.01),
    ground=Ground(free={"/srv": 9 << 30}, certificates={"smtp": NOW + 90 * DAY}),
    queue_limit=100_000,
    work_seconds=0.01,
)


def check(name: str, **changes: Any) -> Check:
    return judge(attrs.evolve(GOOD, **changes), SETTINGS)[name]


def counted(**changes: Any) -> dict[str, Any]:
    """Findings with another census."""
    return {"answer": Answer(census=Census(**{"counts": Counts(), **changes}))}


def test_all_is_well() -> None:
    assert [found.name for found in judge(GOOD, SETTINGS) if found.state is not State.OK] == []


def test_what_was_not_looked_at_is_unknown_and_says_so() -> None:
    table = judge(Findings(now=NOW), SETTINGS)
    unknown = {found.name for found in table if found.state is State.UNKNOWN}
    assert unknown == set(CHECKS) - {"refusals", "stress", "keyservers", "log", "syslog", "clock"}
    assert all(found.words.endswith(" yet") for found in table if found.name in unknown)


@pytest.mark.parametrize(
    ("name", "changes", "state", "words"),
    [
        ("queue", counted(counts=Counts(ready=999)), State.OK, "999 mails"),
        ("queue", counted(counts=Counts(accepted=400, ready=400, held=100, parked=100)), State.WARNING, "1000 mails"),
        ("queue", counted(counts=Counts(ready=10_000)), State.CRITICAL, "10000 mails"),
        ("oldest", counted(undelivered=NOW - 3600 * 5), State.WARNING, "one waits for 5 h"),
        ("oldest", counted(undelivered=NOW - 2 * DAY), State.CRITICAL, "one waits for 2 d"),
        ("oldest", counted(undelivered=NOW + 5), State.OK, "one waits for 0 s"),
        ("untreated", counted(untreated=NOW - 300), State.WARNING, "has not been treated for 5 min"),
        ("untreated", counted(untreated=NOW - 1800), State.CRITICAL, "30 min"),
        ("parked", counted(counts=Counts(parked=1)), State.WARNING, "1 mail put aside"),
        ("parked", counted(counts=Counts(parked=10)), State.CRITICAL, "10 mails"),
        ("deferred", counted(destination="slow.test", deferred=20), State.WARNING, "20 mails wait for slow.test"),
        ("deferred", counted(destination="slow.test", deferred=200), State.CRITICAL, "slow.test"),
        ("refusals", {"refusals": 300.0}, State.WARNING, "300 refused"),
        ("refusals", {"refusals": 3000.0}, State.CRITICAL, "3000 refused"),
        ("stress", {"crowded": 1.0}, State.WARNING, "1 door crowded"),
        ("space", {"ground": Ground(free={"/a": 9 << 30, "/b": 2 << 30})}, State.WARNING, "2.0 GB free in /b"),
        ("space", {"ground": Ground(free={"/a": 5 << 20})}, State.CRITICAL, "5.0 MB free"),
        ("space", {"ground": Ground(problem="gone")}, State.UNKNOWN, "gone"),
        ("database", {"answer": Answer(seconds=1.0)}, State.WARNING, "1.000 s"),
        ("database", {"answer": Answer(problem="it is broken")}, State.CRITICAL, "it is broken"),
        ("database", {"silent_seconds": 16.0}, State.CRITICAL, "nothing could be written for 16 s"),
        ("workers", {"work_seconds": 5.0}, State.WARNING, "5.000 s"),
        ("workers", {"work_seconds": 20.0}, State.CRITICAL, "20.000 s"),
        ("tls", {"ground": Ground(certificates={"smtp": NOW + 30 * DAY})}, State.WARNING, "smtp ends in 30 d"),
        ("tls", {"ground": Ground(certificates={"smtp": NOW + 7 * DAY})}, State.CRITICAL, "smtp ends in 7 d"),
        ("tls", {"ground": Ground(certificates={"smtp": NOW - 3 * DAY})}, State.CRITICAL, "has ended 3 d ago"),
        ("tls", {"ground": Ground(certificates={"smtp": "no such file"})}, State.CRITICAL, "no such file"),
        ("tls", {"ground": Ground()}, State.OK, "no door has a certificate"),
        ("keys", counted(ending=("ann@inside.test", NOW + 20 * DAY)), State.WARNING, "ann@inside.test ends in 20 d"),
        ("keys", counted(authority=NOW + DAY * 5), State.CRITICAL, "our own authority ends in 5 d"),
        ("revocation", {}, State.OK, "no authority of ours has a list; those of others are not asked"),
        ("revocation", counted(lists=((NOW - DAY, NOW + DAY),)), State.OK, "ends in 24 h"),
        ("revocation", counted(lists=((NOW - 7 * DAY, NOW + 2 * DAY),)), State.WARNING, "ends in 2 d"),
        ("revocation", counted(lists=((NOW, NOW + DAY), (NOW - 8 * DAY, NOW - 1))), State.CRITICAL, "has ended"),
        ("revocation", counted(lists=((NOW - 600, NOW - 600),)), State.OK, "no authority of ours has a list"),
        ("revocation", counted(lists=((NOW - 7200, NOW - 7200),)), State.CRITICAL, "has made no list"),
        ("keyservers", {}, State.OK, "no LDAP door is open; those of others are not asked"),
        ("keyservers", {"published": NOW - 0.5}, State.OK, "what was so 0 s ago"),
        ("keyservers", {"published": NOW - 31}, State.WARNING, "31 s ago"),
        ("keyservers", {"published": NOW - 600}, State.CRITICAL, "10 min ago"),
        ("log", {"unwritten_lately": 3}, State.WARNING, "3 lines of our own log could not be written"),
        ("log", {"unwritten_lately": 10}, State.CRITICAL, "10 lines"),
        ("stress", {"crowded": 3.0}, State.CRITICAL, "3 doors crowded"),
        ("keys", counted(ending=("ann@inside.test", NOW + 5 * DAY)), State.CRITICAL, "ann@inside.test ends in 5 d"),
        ("syslog", {"buffers": (Buffer(name="a", full=1.0),)}, State.OK, "all receivers"),
        ("syslog", {"buffers": (Buffer(name="a", full=10.0),)}, State.WARNING, ""),
        (
            "syslog",
            {"buffers": (Buffer(name="a", waiting=3, connected=False),)},
            State.WARNING,
            "a is away, 3 lines wait",
        ),
        ("syslog", {"buffers": (Buffer(name="a", full=80.0, connected=False),)}, State.CRITICAL, "a is away"),
        ("syslog", {"buffers": (Buffer(name="a"),), "lost_lately": 1}, State.CRITICAL, "1 line lost"),
        ("clock", {"moved": 61.0}, State.WARNING, "moved forward by 61 s"),
        ("clock", {"moved": -7200.0}, State.CRITICAL, "moved back by 2 h"),
        ("logins", counted(failed=100), State.WARNING, "100 failed tries"),
        ("logins", counted(failed=1000), State.CRITICAL, "1000 failed"),
        ("delivery", {"delivered": NOW - 9 * DAY}, State.OK, "9 d ago, and nothing waits"),
        ("delivery", {**counted(undelivered=NOW - 60), "delivered": NOW - 9 * DAY}, State.OK, "and mails wait"),
        ("delivery", {**counted(undelivered=NOW - 3600), "delivered": None}, State.WARNING, "nothing was delivered"),
        ("delivery", {**counted(undelivered=NOW - DAY), "delivered": NOW - 22_000}, State.CRITICAL, "6 h ago"),
        ("delivery", {**counted(undelivered=NOW - DAY), "delivered": NOW - 60}, State.OK, "60 s ago"),
    ],
)
def test_a_check(name: str, changes: dict[str, Any], state: State, words: str) -> None:
    found = check(name, **changes)
    assert found.state is state
    assert words in found.words


FULL = attrs.evolve(
    GOOD,
    **counted(lists=((NOW, NOW + DAY),), ending=("ann@inside.test", NOW + 99 * DAY)),
    buffers=(Buffer(name="a"),),
    published=NOW,
    delivered=NOW,
)


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "delivery"])
def test_where_everything_is_set_up_each_check_has_a_value_and_levels_of_the_settings(name: str) -> None:
    found = judge(FULL, SETTINGS)[name]
    assert found.value is not None
    assert found.levels == getattr(SETTINGS, name)


@pytest.mark.parametrize("name", list(CHECKS))
def test_each_check_warns_and_becomes_critical_at_the_levels_that_are_set(name: str) -> None:
    """By the levels alone: what is found stays the same, and the levels move over it."""
    waiting = Answer(census=attrs.evolve(FULL.answer.census, undelivered=NOW - 5))  # type: ignore[union-attr, arg-type, type-var]
    found = attrs.evolve(FULL, answer=waiting, delivered=NOW - 5) if name == "delivery" else FULL
    value = judge(found, SETTINGS)[name].value
    assert value is not None
    falling = getattr(SETTINGS, name).falling
    for state, far, near in ((State.OK, 2, 1), (State.WARNING, 1, 0), (State.CRITICAL, 0, -1)):
        shift = -1 if falling else 1
        levels = Levels(value + shift * near, value + shift * far)
        assert judge(found, attrs.evolve(SETTINGS, **{name: levels}))[name].state is state, levels


def test_a_full_queue_is_critical_whatever_the_levels_say() -> None:
    found = check("queue", queue_limit=500, **counted(counts=Counts(ready=500)))
    assert (found.state, "it is full" in found.words) == (State.CRITICAL, True)


def test_a_broken_database_makes_what_it_knows_unknown_and_nothing_else() -> None:
    table = judge(attrs.evolve(GOOD, answer=Answer(problem="it does not answer")), SETTINGS)
    states = {found.name: found.state for found in table}
    assert states["database"] is State.CRITICAL
    assert {name for name, state in states.items() if state is State.UNKNOWN} == {
        "queue", "oldest", "untreated", "parked", "deferred", "keys", "revocation", "logins", "delivery",
    }  # fmt: skip
