from __future__ import annotations

from securegw.store import desk, queue, schema
from securegw.store.database import Database
from securegw.store.items import Chosen, Counts
from securegw.store.queue import Recipient, Treated
from tests.store.samples import ANN, BOB, CAT, NOW, claim, claimed, entry, node, progress, put, rows, tenant


def ids(items: list[queue.Item]) -> list[str]:
    return [item.id for item in items]


def test_one_item(database: Database) -> None:
    [mail] = put(database, entry())
    assert database.read(desk.get, mail.id).result() == mail.item()
    assert database.read(desk.get, "0" * 16).result() is None


def test_items_are_listed_oldest_first_and_page_by_page(database: Database) -> None:
    mails = put(database, *(entry(received=NOW + number // 2) for number in range(6)))
    mails = tuple(sorted(mails, key=lambda mail: (mail.received, mail.id)))
    first = database.read(desk.list_items, limit=4).result()
    rest = database.read(desk.list_items, after=(first[-1].received, first[-1].id)).result()
    assert ids(first + rest) == [mail.id for mail in mails]


def test_items_are_found_by_what_is_asked(database: Database) -> None:
    held, ready, other = put(
        database,
        entry(BOB, state="held"),
        entry(CAT, kind="ready", trace="trace-2"),
        entry("100%@outside.test", sender="Dora@inside.test"),
    )
    for asked, found in [
        ({"state": "held"}, [held]),
        ({"kind": "ready"}, [ready]),
        ({"trace": "trace-2"}, [ready]),
        ({"address": "BOB@"}, [held]),
        ({"address": "dora"}, [other]),
        ({"address": "0%@out"}, [other]),
        ({"address": "%"}, [other]),
        ({"address": "_"}, []),
        ({"address": ANN, "state": "waiting"}, [ready]),
    ]:
        assert ids(database.read(desk.list_items, **asked).result()) == [mail.id for mail in found], asked


def test_a_held_item_waits_until_it_is_let_go(database: Database) -> None:
    [mail] = put(database, entry())
    session = node(database)
    assert database.write(desk.hold, Chosen((mail.id,))).result() == 1
    assert database.write(desk.hold, Chosen((mail.id,))).result() == 0
    assert claim(database, session) == []
    assert database.write(desk.unhold, Chosen((mail.id,))).result() == 1
    assert ids(claim(database, session)) == [mail.id]


def test_a_parked_item_can_go_on(database: Database) -> None:
    [mail] = put(database, entry(state="parked", next_try=NOW + 1000))
    assert database.write(desk.unhold, Chosen((mail.id,))).result() == 1
    assert ids(claim(database, node(database))) == [mail.id]


def test_hold_does_not_break_a_delivery_that_is_under_way(database: Database) -> None:
    item, session = claimed(database, BOB, CAT)
    database.write(desk.hold, Chosen((item.id,))).result()
    news = (Recipient(BOB, "done"),)
    database.write(
        queue.delivered, progress(item, session, *news, next_try=NOW)
    ).result()
    found = database.read(desk.get, item.id).result()
    assert found is not None
    assert (found.state, found.session, found.recipients[0].state) == ("held", None, "done")


def test_retry_does_not_wait(database: Database) -> None:
    [mail] = put(database, entry(next_try=NOW + 1000))
    assert database.write(desk.retry, Chosen((mail.id,))).result() == 1
    assert ids(claim(database, node(database))) == [mail.id]


def test_deleted_items_are_told_and_gone(database: Database) -> None:
    one, two, rest = put(database, entry(received=NOW), entry(received=NOW + 1), entry())
    told = database.write(desk.delete_items, Chosen((one.id, two.id, "0" * 16))).result()
    assert told == [one.item(), two.item()]
    assert (rows(database, schema.item), rows(database, schema.body)) == (1, 1)
    assert database.read(queue.body, rest.id).result() == [b"sealed"]


def test_the_queue_in_numbers(database: Database) -> None:
    assert database.read(desk.counts).result() == Counts()
    put(database, entry(), entry(state="held"), entry(state="parked", received=NOW - 9), entry(kind="ready"))
    session = node(database)
    first = next(item for item in claim(database, session) if item.kind == "accepted")
    database.write(
        queue.treated, Treated(id=first.id, session=session, stays=first.recipients, keep=True, now=NOW)
    ).result()
    database.write(queue.delivered, progress(first, session, next_try=NOW + 9)).result()
    expected = Counts(accepted=0, ready=2, deferred=1, held=1, parked=1, size=4 * 123, oldest=NOW - 9)
    assert database.read(desk.counts).result() == expected


def test_another_tenants_items_cannot_be_touched(database: Database) -> None:
    other = tenant(database)
    [mail] = put(database, entry(tenant=other))
    mine = Chosen((mail.id,))
    for step in (desk.hold, desk.unhold, desk.retry):
        assert database.write(step, mine).result() == 0
    assert database.write(desk.delete_items, mine).result() == []
    assert database.read(desk.get, mail.id).result() is None
    assert database.read(desk.list_items).result() == []
    assert database.read(desk.counts, 1).result() == Counts()
    assert database.read(desk.get, mail.id, other).result() == mail.item()
    assert ids(database.read(desk.list_items, tenant=other).result()) == [mail.id]
    assert database.write(desk.hold, Chosen((mail.id,), other)).result() == 1
