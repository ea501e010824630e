"""The checks by name: each is a function that looks at the findings and judges one thing.

Not the looking, see ``watch``: here nothing is asked, so a test writes the findings down. A check for which something
was not found says so, and is at least unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from securegw.health.settings import HealthSettings
from securegw.health.table import Check, Levels, State, Table, worst
from securegw.store.census import Census

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
NO_LIST_YET = 3600.0  # seconds in which a new authority has no list yet
OTHERS = "those of others are not asked"
SILENT = 15.0  # seconds without a commit after which a node is taken for dead by others


@attrs.frozen(kw_only=True)
class Answer:
    """What the database said: the census, how long it took, and what went wrong if it did."""

    census: Census | None = None
    seconds: float = 0.0
    problem: str = ""


@attrs.frozen(kw_only=True)
class Ground:
    """What was found on the disk: free bytes by folder, and the end of each certificate or what is wrong with it."""

    free: Mapping[str, int] = attrs.field(factory=dict)
    certificates: Mapping[str, float | str] = attrs.field(factory=dict)
    problem: str = ""


@attrs.frozen(kw_only=True)
class Buffer:
    """A log receiver: how full its buffer is in percent, how many lines wait or are lost, whether it is there."""

    name: str
    full: float = 0.0
    waiting: int = 0
    lost: int = 0
    connected: bool = True


@attrs.frozen(kw_only=True)
class Findings:
    """Everything that was found when it was looked at last; None where nothing was found yet."""

    now: float
    answer: Answer | None = None
    ground: Ground | None = None
    queue_limit: int = 0
    refusals: float = 0.0
    crowded: float = 0.0
    work_seconds: float | None = None
    silent_seconds: float = 0.0
    moved: float = 0.0
    buffers: tuple[Buffer, ...] = ()
    lost_lately: int = 0
    unwritten_lately: int = 0
    delivered: float | None = None
    published: float | None = None


def judge(findings: Findings, settings: HealthSettings) -> Table:
    """The table of all checks."""
    return Table(findings.now, tuple(check(name, findings, settings) for name, check in CHECKS.items()))


def _queue(name: str, found: Findings, settings: HealthSettings) -> Check:
    census = _census(found)
    if census is None:
        return _unknown(name, found)
    counts = census.counts
    queued = counts.accepted + counts.ready + counts.held + counts.parked
    words = f"{_count(queued, 'mail')} in the queue, {counts.deferred} of them tried before, {counts.held} held"
    if census.quarantined:
        words += f", {census.quarantined} of these in quarantine"
    check = _measured(name, queued, settings.queue, words)
    if queued >= found.queue_limit > 0:
        return attrs.evolve(check, state=State.CRITICAL, words=f"{words}; it is full, new mail is put off")
    return check


def _oldest(name: str, found: Findings, settings: HealthSettings) -> Check:
    census = _census(found)
    return _unknown(name, found) if census is None else _age(name, found, census.undelivered, settings.oldest, "waits")


def _untreated(name: str, found: Findings, settings: HealthSettings) -> Check:
    census = _census(found)
    if census is None:
        return _unknown(name, found)
    return _age(name, found, census.untreated, settings.untreated, "has not been treated")


def _parked(name: str, found: Findings, settings: HealthSettings) -> Check:
    census = _census(found)
    if census is None:
        return _unknown(name, found)
    parked = census.counts.parked
    return _measured(name, parked, settings.parked, f"{_count(parked, 'mail')} put aside")


def _deferred(name: str, found: Findings, settings: HealthSettings) -> Check:
    census = _census(found)
    if census is None:
        return _unknown(name, found)
    words = f"{_count(census.deferred, 'mail')} wait for {census.destination}" if census.deferred else "none"
    return _measured(name, census.deferred, settings.deferred, words)


def _refusals(name: str, found: Findings, settings: HealthSettings) -> Check:
    rate = round(found.refusals)
    return _measured(name, rate, settings.refusals, f"{rate} refused within a minute")


def _stress(name: str, found: Findings, settings: HealthSettings) -> Check:
    crowded = round(found.crowded)
    words = f"{_count(crowded, 'door')} crowded" if crowded else "no door is crowded"
    return _measured(name, crowded, settings.stress, words)


def _space(name: str, found: Findings, settings: HealthSettings) -> Check:
    if found.ground is None or found.ground.problem or not found.ground.free:
        return Check(name, State.UNKNOWN, _ground_problem(found))
    folder, free = min(found.ground.free.items(), key=lambda each: each[1])
    return _measured(name, free, settings.space, f"{_size(free)} free in {folder}", "B")


def _database(name: str, found: Findings, settings: HealthSettings) -> Check:
    answer = found.answer
    if answer is None:
        return Check(name, State.UNKNOWN, "it has not been asked yet")
    if answer.problem:
        return Check(name, State.CRITICAL, answer.problem, answer.seconds, "s", settings.database)
    check = _measured(name, answer.seconds, settings.database, f"it answers in {answer.seconds:.3f} s", "s")
    if found.silent_seconds >= SILENT:
        words = f"nothing could be written for {_span(found.silent_seconds)}"
        return attrs.evolve(check, state=State.CRITICAL, words=words)
    return check


def _workers(name: str, found: Findings, settings: HealthSettings) -> Check:
    if found.work_seconds is None:
        return Check(name, State.UNKNOWN, "no work has been given yet")
    words = f"work is done after {found.work_seconds:.3f} s"
    return _measured(name, found.work_seconds, settings.workers, words, "s")


def _tls(name: str, found: Findings, settings: HealthSettings) -> Check:
    if found.ground is None or found.ground.problem:
        return Check(name, State.UNKNOWN, _ground_problem(found))
    ends = found.ground.certificates
    broken = "; ".join(sorted({end for end in ends.values() if isinstance(end, str)}))
    if broken:
        return Check(name, State.CRITICAL, broken)
    known = {door: end for door, end in ends.items() if not isinstance(end, str)}
    if not known:
        return Check(name, State.OK, "no door has a certificate")
    door, end = min(known.items(), key=lambda each: each[1])
    return _ending(name, end - found.now, settings.tls, f"the certificate of {door}")


def _keys(name: str, found: Findings, settings: HealthSettings) -> Check:
    census = _census(found)
    if census is None:
        return _unknown(name, found)
    checks = []
    if census.ending is not None:
        checks.append(_ending(name, census.ending[1] - found.now, settings.keys, f"the key of {census.ending[0]}"))
    if census.authority is not None:
        checks.append(_ending(name, census.authority - found.now, settings.keys, "our own authority"))
    return min(checks, key=lambda check: check.value or 0.0, default=Check(name, State.OK, "nobody has a key yet"))


def _revocation(name: str, found: Findings, settings: HealthSettings) -> Check:
    """Our own lists only; a new one is made when half of the old one's life is over."""
    census = _census(found)
    if census is None:
        return _unknown(name, found)
    lists = [each for each in census.lists if each[1] > each[0] or found.now - each[0] > NO_LIST_YET]
    if not lists:
        return Check(name, State.OK, f"no authority of ours has a list; {OTHERS}")
    made, until = min(lists, key=lambda each: _left(each, found.now))
    words = f"a list of ours ends in {_span(until - found.now)}" if until > found.now else "a list of ours has ended"
    if made == until:
        words = "an authority of ours has made no list"
    return _measured(name, _left((made, until), found.now), settings.revocation, f"{words}; {OTHERS}", "%")


def _keyservers(name: str, found: Findings, settings: HealthSettings) -> Check:
    """Our own doors only: whether what they tell is still true."""
    if found.published is None:
        return Check(name, State.OK, f"no LDAP door is open; {OTHERS}")
    age = max(0.0, round(found.now - found.published, 1))
    words = f"the LDAP doors know what was so {_span(age)} ago"
    return _measured(name, age, settings.keyservers, f"{words}; {OTHERS}", "s")


def _log(name: str, found: Findings, settings: HealthSettings) -> Check:
    lost = found.unwritten_lately
    words = f"{_count(lost, 'line')} of our own log could not be written in the last ten minutes"
    return _measured(name, lost, settings.log, words if lost else "it is written")


def _syslog(name: str, found: Findings, settings: HealthSettings) -> Check:
    if not found.buffers:
        return Check(name, State.OK, "not configured")
    fullest = max(found.buffers, key=lambda buffer: buffer.full)
    check = _measured(name, round(fullest.full, 1), settings.syslog, "all receivers take our log", "%")
    away = [buffer for buffer in found.buffers if not buffer.connected]
    words = [f"{buffer.name} is away, {_count(buffer.waiting, 'line')} wait" for buffer in away]
    if found.lost_lately:
        words.append(f"{_count(found.lost_lately, 'line')} lost in the last ten minutes")
    state = worst(check.state, State.WARNING if away else State.OK, State.CRITICAL if found.lost_lately else State.OK)
    return attrs.evolve(check, state=state, words="; ".join(words) or check.words)


def _clock(name: str, found: Findings, settings: HealthSettings) -> Check:
    by = abs(found.moved)
    words = f"it was moved {'forward' if found.moved > 0 else 'back'} by {_span(by)}" if by >= 1 else "it was not moved"
    return _measured(name, round(by, 1), settings.clock, words, "s")


def _logins(name: str, found: Findings, settings: HealthSettings) -> Check:
    census = _census(found)
    if census is None:
        return _unknown(name, found)
    return _measured(name, census.failed, settings.logins, f"{census.failed} failed tries")


def _delivery(name: str, found: Findings, settings: HealthSettings) -> Check:
    """Silence is a fault only as long as something waits: on Sunday nobody writes."""
    census = _census(found)
    if census is None:
        return _unknown(name, found)
    last = found.delivered
    words = "nothing was delivered lately" if last is None else f"the last one was {_span(found.now - last)} ago"
    if census.undelivered is None:
        return Check(name, State.OK, f"{words}, and nothing waits")
    waits = found.now - max(census.undelivered, last or 0.0)
    return _measured(name, max(0.0, round(waits)), settings.delivery, f"{words}, and mails wait", "s")


# A new check is a row here; its name is that of the NRPE command check_securegw_NAME.
CHECKS: Mapping[str, Callable[[str, Findings, HealthSettings], Check]] = {
    "queue": _queue,
    "oldest": _oldest,
    "untreated": _untreated,
    "parked": _parked,
    "deferred": _deferred,
    "refusals": _refusals,
    "stress": _stress,
    "space": _space,
    "database": _database,
    "workers": _workers,
    "tls": _tls,
    "keys": _keys,
    "revocation": _revocation,
    "keyservers": _keyservers,
    "log": _log,
    "syslog": _syslog,
    "clock": _clock,
    "logins": _logins,
    "delivery": _delivery,
}


def _measured(name: str, value: float, levels: Levels, words: str, unit: str = "") -> Check:
    return Check(name, levels.judge(value), words, value, unit, levels)


def _unknown(name: str, found: Findings) -> Check:
    problem = found.answer.problem if found.answer else "the database has not been asked yet"
    return Check(name, State.UNKNOWN, problem)


def _census(found: Findings) -> Census | None:
    return None if found.answer is None or found.answer.problem else found.answer.census


def _age(name: str, found: Findings, since: float | None, levels: Levels, does: str) -> Check:
    age = 0.0 if since is None else max(0.0, round(found.now - since))
    return _measured(name, age, levels, "nothing waits" if since is None else f"one {does} for {_span(age)}", "s")


def _ending(name: str, left: float, levels: Levels, what: str) -> Check:
    words = f"{what} ends in {_span(left)}" if left > 0 else f"{what} has ended {_span(-left)} ago"
    return _measured(name, round(left / DAY, 2), levels, words, "d")


def _ground_problem(found: Findings) -> str:
    return (found.ground.problem if found.ground else "") or "it has not been looked at yet"


def _left(each: tuple[float, float], now: float) -> float:
    """How much of its life a list has left, in percent."""
    made, until = each
    return round(max(0.0, min(100.0, 100 * (until - now) / (until - made))), 1) if until > made else 0.0


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _span(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit, length in (("d", DAY), ("h", HOUR), ("min", MINUTE)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _size(number: int) -> str:
    for unit, length in (("GB", 1 << 30), ("MB", 1 << 20)):
        if number >= length:
            return f"{number / length:.1f} {unit}"
    return f"{number} bytes"
