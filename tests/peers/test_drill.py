"""The sums of the fault drills can find each fault: else a drill that passes would say nothing."""

from __future__ import annotations

from tests.support.drill import Sums, count
from tests.support.load import Drill, Outcome, write_drill
from tests.support.sink import Arrived

TO = "p1@outside.test"


def drill(number: int, kind: str = "plain") -> Drill:
    return write_drill(number, kind, "otto@inside.test", [TO], run="t", subject="news")


def outcome(number: int = 1, kind: str = "plain", *, accepted: bool = True, unknown: bool = False) -> Outcome:
    return Outcome(drill(number, kind), {TO} if accepted else set(), unknown, ["250 ok"] if accepted else [])


def arrived(one: Outcome, at: float = 100.0, raw: bytes = b"") -> Arrived:
    return Arrived(at, "otto@inside.test", one.drill.recipients, raw or one.drill.raw, False)


def sums(outcomes: list[Outcome], mails: list[Arrived], queued: list[tuple[str, str]], kills: list[float]) -> Sums:
    return count(
        {one.drill.id: one for one in outcomes}, mails, queued, kills,
        is_good=lambda one, mail: mail.raw == one.drill.raw,
        is_clear=lambda one, mail: one.drill.kind == "smime" and b"drill t-" in mail.raw,
    )  # fmt: skip


def test_a_drill_without_a_fault_has_none() -> None:
    one = outcome()
    found = sums([one], [arrived(one)], [], [])

    assert found.accepted == found.delivered == {("t-1", TO)}
    assert not (found.lost or found.ghosts or found.corrupt or found.clear or found.doubles or found.wrong_permanent)


def test_an_accepted_mail_that_is_nowhere_is_lost() -> None:
    assert sums([outcome()], [], [], []).lost == {("t-1", TO)}


def test_an_accepted_mail_in_the_queue_is_not_lost() -> None:
    assert not sums([outcome()], [], [("t-1", TO)], []).lost


def test_a_mail_that_nobody_was_promised_is_a_ghost() -> None:
    one = outcome(accepted=False)
    assert sums([one], [arrived(one)], [], []).ghosts == {("t-1", TO)}


def test_a_lost_reply_counts_as_accepted_only_if_the_mail_is_found() -> None:
    one = outcome(accepted=False, unknown=True)
    assert sums([one], [arrived(one)], [], []).accepted == {("t-1", TO)}
    assert not sums([one], [], [], []).accepted
    assert not sums([one], [], [], []).lost


def test_a_changed_mail_is_corrupt() -> None:
    one = outcome()
    assert sums([one], [arrived(one, raw=one.drill.raw + b"x")], [], []).corrupt == {("t-1", TO)}


def test_a_mail_in_clear_that_must_be_closed_is_found() -> None:
    one = outcome(kind="smime")
    assert sums([one], [arrived(one)], [], []).clear == {("t-1", TO)}


def test_a_double_is_excused_near_a_kill_only() -> None:
    one = outcome()
    twice = [arrived(one, 100.0), arrived(one, 130.0)]

    near, far = sums([one], twice, [], [102.0]), sums([one], twice, [], [106.0])

    assert near.doubles == far.doubles == {("t-1", TO): 1}
    assert not near.strange_doubles
    assert set(far.strange_doubles) == {("t-1", TO)}


def test_a_permanent_refusal_is_told() -> None:
    one = outcome(accepted=False)
    one.replies.append("550 5.1.1 no")
    assert sums([one], [], [], []).wrong_permanent == {"t-1"}
