from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest

from securegw.mail.errors import LostClaim
from securegw.store import events, queue, schema, sessions
from securegw.store.database import Database
from securegw.store.events import Event
from securegw.store.queue import Failed, Progress, Recipient, Treated
from tests.store.samples import ANN, BOB, CAT, NOW, claim, claimed, entry, node, progress, put, rows


def fail(_connection: object, words: str) -> None:
    raise ArithmeticError(words)


# put, claim, body


def test_what_is_put_can_be_claimed_as_it_was(database: Database) -> None:
    mail = entry(
        BOB, "jörg@aussen.test", direction="outgoing", message_id="<1@inside.test>", source={"helo": "ü", "port": 25}
    )
    put(database, mail)
    session = node(database)
    [item] = claim(database, session)
    assert item == attrs.evolve(mail.item(), session=session)
    assert database.read(queue.body, mail.id).result() == [b"sealed"]


def test_what_the_sender_wants_to_be_told_is_kept(database: Database) -> None:
    wishes = queue.Recipient(BOB, notify="SUCCESS,FAILURE", original="rfc822;bob@x.test")
    put(database, entry(recipients=(wishes, queue.Recipient(CAT, notify="NEVER"))))
    [item] = claim(database, node(database))
    assert item.recipients == (wishes, queue.Recipient(CAT, notify="NEVER"))


def test_parts_come_back_in_order(database: Database) -> None:
    parts = tuple(bytes([number]) * 1000 for number in range(12))
    [mail] = put(database, entry(body=parts))
    assert tuple(database.read(queue.body, mail.id).result()) == parts


def test_bodies_of_several_items(database: Database) -> None:
    one, two = put(database, entry(body=(b"1a", b"1b")), entry(body=(b"2",)))
    found = database.read(queue.bodies, [one.id, two.id, "0" * 16]).result()
    assert found == {one.id: [b"1a", b"1b"], two.id: [b"2"]}


def test_an_item_without_a_body_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="body"):
        put(database, entry(body=()))
    assert rows(database, schema.item) == 0


def test_the_body_of_an_item_that_has_ended_is_a_lost_claim(database: Database) -> None:
    with pytest.raises(LostClaim):
        database.read(queue.body, "0" * 16).result()


def test_two_items_with_one_id_are_refused(database: Database) -> None:
    [mail] = put(database, entry())
    with pytest.raises(Exception, match=r"UNIQUE|unique"):
        put(database, attrs.evolve(mail, body=(b"other",)))
    assert database.read(queue.body, mail.id).result() == [b"sealed"]


def test_a_claim_takes_the_oldest_and_no_more_than_asked(database: Database) -> None:
    mails = put(database, *(entry(received=NOW - age) for age in (1, 3, 2)))
    found = claim(database, node(database), limit=2)
    assert [item.id for item in found] == [mails[1].id, mails[2].id]


def test_a_claim_leaves_what_is_not_due_held_or_parked(database: Database) -> None:
    put(database, entry(next_try=NOW + 1), entry(state="held"), entry(state="parked"))
    assert claim(database, node(database)) == []
    assert len(claim(database, node(database), now=NOW + 1)) == 1


def test_a_claim_of_one_kind(database: Database) -> None:
    put(database, entry(kind="ready"), entry(kind="accepted"))
    assert [item.kind for item in claim(database, node(database), kind="ready")] == ["ready"]


def test_a_claimed_item_is_not_handed_out_again(database: Database) -> None:
    put(database, entry())
    one, two = node(database, "one"), node(database, "two")
    assert len(claim(database, one)) == 1
    assert claim(database, two) == []
    assert claim(database, one) == []


def test_an_item_born_claimed_is_its_makers(database: Database) -> None:
    one, two = node(database, "one"), node(database, "two")
    put(database, entry(session=one))
    assert claim(database, two) == []


def test_many_nodes_at_once_never_get_the_same_item(database: Database, url: str) -> None:
    put(database, *(entry() for _ in range(300)))
    nodes = [Database(url) for _ in range(4)]
    try:
        with ThreadPoolExecutor(4) as pool:
            shares = list(pool.map(claim_all, nodes))
    finally:
        for other in nodes:
            other.close()
    taken = [id for share in shares for id in share]
    assert len(taken) == len(set(taken)) == 300


def claim_all(database: Database) -> list[str]:
    session = node(database)
    taken: list[str] = []
    while found := claim(database, session, limit=4):
        taken += [item.id for item in found]
    return taken


def test_what_a_dead_session_held_is_free(database: Database) -> None:
    item, _ = claimed(database)
    other = node(database, "other", NOW + 14)
    assert claim(database, other, now=NOW + 14) == []
    assert [found.id for found in claim(database, other, now=NOW + 15)] == [item.id]


def test_a_dead_session_gets_nothing(database: Database) -> None:
    put(database, entry())
    assert claim(database, node(database), now=NOW + 15) == []
    assert claim(database, 4711) == []


def test_released_items_are_free_but_only_ones_own(database: Database) -> None:
    item, session = claimed(database)
    other = node(database, "other")
    database.write(queue.release, other, [item.id]).result()
    assert claim(database, other) == []
    database.write(queue.release, session, [item.id]).result()
    assert len(claim(database, other)) == 1


# treated


def test_a_treated_item_is_replaced_by_its_entries(database: Database) -> None:
    item, session = claimed(database, BOB, CAT)
    finished = entry(BOB, kind="ready", body=(b"protected",))
    told = Event(time=NOW, kind="decision", trace=item.trace)
    done = Treated(id=item.id, session=session, entries=(finished,), also=((events.record, told),), now=NOW)
    database.write(queue.treated, done).result()
    [ready] = claim(database, session)
    assert ready == attrs.evolve(finished.item(), session=session)
    assert rows(database, schema.item) == rows(database, schema.body) == 1
    assert database.read(events.find, trace=item.trace).result() == [told]


def test_recipients_who_stay_keep_the_body(database: Database) -> None:
    item, session = claimed(database, BOB, CAT)
    stays = (Recipient(CAT, decision={"method": "plain", "reason": "default"}),)
    done = Treated(id=item.id, session=session, stays=stays, direction="outgoing", now=NOW)
    database.write(queue.treated, done).result()
    [ready] = claim(database, session)
    assert (ready.id, ready.kind, ready.direction, ready.recipients) == (item.id, "ready", "outgoing", stays)
    assert database.read(queue.body, item.id).result() == [b"sealed"]


def test_a_kept_item_stays_claimed(database: Database) -> None:
    item, session = claimed(database)
    done = Treated(id=item.id, session=session, stays=item.recipients, keep=True, now=NOW)
    database.write(queue.treated, done).result()
    assert claim(database, node(database, "other")) == []
    database.write(queue.delivered, progress(item, session, Recipient(BOB, "done"))).result()
    assert rows(database, schema.item) == 0


def test_a_failure_beside_a_treatment_undoes_all_of_it(database: Database) -> None:
    item, session = claimed(database)
    also = ((events.record, Event(time=NOW, kind="decision")), (fail, "no"))
    done = Treated(id=item.id, session=session, entries=(entry(kind="ready"),), also=also, now=NOW)
    with pytest.raises(ArithmeticError, match="no"):
        database.write(queue.treated, done).result()
    assert [rows(database, table) for table in (schema.item, schema.body, schema.event)] == [1, 1, 0]
    retried = attrs.evolve(done, also=())
    database.write(queue.treated, retried).result()  # still claimed


def test_treated_together_one_lost_claim_does_not_harm_the_neighbours(database: Database) -> None:
    mails = put(database, entry(), entry(), entry())
    session = node(database)
    claim(database, session)
    database.write(queue.release, session, [mails[1].id]).result()
    waiting = [database.write_many(queue.treated_many, Treated(id=mail.id, session=session, now=NOW)) for mail in mails]
    assert [type(future.exception()) for future in waiting] == [type(None), LostClaim, type(None)]
    assert rows(database, schema.item) == 1


def test_two_steps_of_one_item_in_one_call_see_each_other(database: Database) -> None:
    item, session = claimed(database, BOB, CAT)
    first = progress(item, session, Recipient(BOB, "done"), next_try=NOW)
    with pytest.raises(LostClaim):  # the first gave the claim back
        database.write(queue.delivered_many, [first, first]).result()
    assert rows(database, schema.item) == 1


# delivered


def test_an_item_ends_when_nobody_waits(database: Database) -> None:
    item, session = claimed(database, BOB, CAT)
    news = (Recipient(BOB, "done", "250 ok"), Recipient(CAT, "failed", "550 no"))
    notice = entry(ANN, kind="ready", sender="", body=(b"notice",))
    database.write(queue.delivered, progress(item, session, *news, entries=(notice,))).result()
    assert [found.id for found in claim(database, session)] == [notice.id]
    assert rows(database, schema.body) == 1


def test_recipients_without_news_are_kept(database: Database) -> None:
    item, session = claimed(database, BOB, CAT)
    news = progress(item, session, Recipient(BOB, "done", "250 ok"), next_try=NOW + 60, note="later")
    database.write(queue.delivered, news).result()
    assert claim(database, session) == []
    [again] = claim(database, node(database, now=NOW + 60), now=NOW + 60)
    assert again.recipients == (Recipient(BOB, "done", "250 ok"), Recipient(CAT))
    assert (again.tries, again.note) == (1, "later")


def test_who_waits_needs_a_time_for_the_next_try(database: Database) -> None:
    item, session = claimed(database, BOB, CAT)
    with pytest.raises(ValueError, match="next try"):
        database.write(queue.delivered, progress(item, session, Recipient(BOB, "done"))).result()
    assert rows(database, schema.item) == 1


def test_a_failure_beside_a_delivery_undoes_all_of_it(database: Database) -> None:
    item, session = claimed(database)
    failing = progress(item, session, Recipient(BOB, "failed"), entries=(entry(ANN),), also=((fail, "no"),))
    with pytest.raises(ArithmeticError):
        database.write(queue.delivered, failing).result()
    assert rows(database, schema.item) == rows(database, schema.body) == 1
    assert database.read(queue.body, item.id).result() == [b"sealed"]


# delivered together with the treatment


def first_try(item: queue.Item, session: int, *news: Recipient, **changed: object) -> Progress:
    """A mail was made of this item and sent at once: one step for both."""
    finished = entry(BOB, CAT, kind="ready", direction="outgoing", body=(b"protected",), session=session)
    told = Event(time=NOW, kind="decision", trace=item.trace)
    treated = Treated(
        id=item.id, session=session, entries=(finished,), also=((events.record_many, [told]),), keep=True, now=NOW
    )
    return attrs.evolve(progress(finished.item(), session, *news), treated=treated, **changed)


def test_what_is_sent_at_once_is_never_stored(database: Database) -> None:
    item, session = claimed(database, BOB, CAT)
    sent = Event(time=NOW, kind="delivered", trace=item.trace)
    step = first_try(
        item, session, Recipient(BOB, "done"), Recipient(CAT, "done"), also=((events.record_many, [sent]),)
    )
    database.write(queue.delivered, step).result()
    assert rows(database, schema.item) == rows(database, schema.body) == 0
    assert [event.kind for event in database.read(events.find, trace=item.trace).result()] == ["decision", "delivered"]


def test_what_is_sent_in_part_is_stored_as_it_was_made(database: Database) -> None:
    item, session = claimed(database, BOB, CAT)
    step = first_try(item, session, Recipient(BOB, "done"), next_try=NOW + 60, note="later")
    database.write(queue.delivered, step).result()
    [left] = claim(database, node(database, now=NOW + 60), now=NOW + 60)
    assert (left.id, left.kind, left.tries, left.note) == (step.id, "ready", 1, "later")
    assert left.recipients == (Recipient(BOB, "done"), Recipient(CAT))
    assert database.read(queue.body, left.id).result() == [b"protected"]
    assert rows(database, schema.item) == rows(database, schema.event) == 1


def test_what_stays_as_it_is_is_deferred_in_the_same_step(database: Database) -> None:
    item, session = claimed(database)
    treated = Treated(id=item.id, session=session, stays=item.recipients, direction="outgoing", keep=True, now=NOW)
    step = attrs.evolve(
        progress(item, session, Recipient(BOB, reply="451 later"), next_try=NOW + 60, note="later"), treated=treated
    )
    database.write(queue.delivered, step).result()
    [left] = claim(database, node(database, now=NOW + 60), now=NOW + 60)
    assert (left.id, left.kind, left.direction, left.tries) == (item.id, "ready", "outgoing", 1)
    assert database.read(queue.body, item.id).result() == [b"sealed"]


@pytest.mark.parametrize("waits", [False, True])
def test_a_first_try_whose_claim_is_lost_changes_nothing(database: Database, waits: bool) -> None:
    item, session = claimed(database, BOB, CAT)
    database.write(queue.release, session, [item.id]).result()
    step = first_try(
        item, session, Recipient(BOB, "done"), *(() if waits else (Recipient(CAT, "done"),)), next_try=NOW
    )
    with pytest.raises(LostClaim):
        database.write(queue.delivered, step).result()
    assert [rows(database, table) for table in (schema.item, schema.body, schema.event)] == [1, 1, 0]
    assert database.read(queue.body, item.id).result() == [b"sealed"]


# lost claims


@pytest.mark.parametrize("step", ["treated", "delivered", "failed"])
def test_a_dead_session_changes_nothing(database: Database, step: str) -> None:
    item, session = claimed(database)
    with pytest.raises(LostClaim):
        finish(database, step, item.id, session, NOW + 15)
    assert rows(database, schema.item) == rows(database, schema.body) == 1


@pytest.mark.parametrize("step", ["treated", "delivered", "failed"])
def test_who_was_overtaken_changes_nothing(database: Database, step: str) -> None:
    item, session = claimed(database)
    other = node(database, "other", NOW + 20)
    assert claim(database, other, now=NOW + 20)
    with pytest.raises(LostClaim):
        finish(database, step, item.id, session, NOW + 20)
    finish(database, step, item.id, other, NOW + 20)


@pytest.mark.parametrize("step", ["treated", "delivered", "failed"])
def test_an_item_that_is_gone_is_a_lost_claim(database: Database, step: str) -> None:
    with pytest.raises(LostClaim):
        finish(database, step, "0" * 16, node(database), NOW)


def finish(database: Database, step: str, id: str, session: int, now: float) -> None:
    if step == "treated":
        database.write(queue.treated, Treated(id=id, session=session, now=now)).result()
    elif step == "delivered":
        news = (Recipient(BOB, "done"),)
        done = Progress(id=id, session=session, before=news, news=news, now=now)
        database.write(queue.delivered, done).result()
    else:
        failed = Failed(id=id, session=session, note="", next_try=None, now=now)
        database.write(queue.failed_treatment, failed).result()


# failed treatments


def test_a_failed_treatment_is_tried_later(database: Database) -> None:
    item, session = claimed(database)
    failed = Failed(id=item.id, session=session, note="no worker", next_try=NOW + 5, now=NOW)
    database.write(queue.failed_treatment, failed).result()
    assert claim(database, session) == []
    [again] = claim(database, session, now=NOW + 5)
    assert (again.kind, again.tries, again.note) == ("accepted", 1, "no worker")


def test_a_poisonous_item_is_parked_with_its_body(database: Database) -> None:
    item, session = claimed(database)
    told = Event(time=NOW, kind="parked", item=item.id)
    failed = Failed(
        id=item.id, session=session, note="kills workers", next_try=None, also=((events.record, told),), now=NOW
    )
    database.write(queue.failed_treatment, failed).result()
    assert claim(database, session, now=NOW + 10) == []
    assert database.read(queue.body, item.id).result() == [b"sealed"]
    assert database.read(events.find, item=item.id).result() == [told]


# the database's clock


def test_without_a_time_the_clock_of_the_database_counts(database: Database) -> None:
    put(database, entry())
    alive, dead = node(database, "alive", None, 60.0), node(database, "dead", None, -1.0)
    assert claim(database, dead, now=None) == []
    [item] = claim(database, alive, now=None)
    database.write(queue.treated, Treated(id=item.id, session=alive)).result()
    assert [session.node for session in database.read(sessions.list_sessions).result()] == ["alive"]
