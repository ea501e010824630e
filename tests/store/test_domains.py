from __future__ import annotations

import pytest

from securegw.store import domains
from securegw.store.database import Database
from securegw.store.domains import Domain, Route
from securegw.store.troubles import AlreadyThere
from tests.store.samples import tenant


def test_a_domain_is_found_in_any_case(database: Database) -> None:
    number = database.write(domains.add_domain, Domain("Inside.TEST", "[10.0.0.1]:25")).result()
    expected = Domain("inside.test", "[10.0.0.1]:25", "may", 1, number)
    assert database.read(domains.find_domain, "INSIDE.test").result() == expected
    assert database.read(domains.list_domains).result() == [expected]
    assert database.read(domains.find_domain, "outside.test").result() is None


def test_a_domain_belongs_to_one_tenant(database: Database) -> None:
    other = tenant(database)
    database.write(domains.add_domain, Domain("inside.test", "")).result()
    with pytest.raises(AlreadyThere, match=r"inside\.test"):
        database.write(domains.add_domain, Domain("inside.test", "", tenant=other)).result()
    assert database.read(domains.list_domains, other).result() == []
    assert database.write(domains.remove_domain, "inside.test", other).result() is False
    assert database.write(domains.change_domain, Domain("inside.test", "x", tenant=other)).result() is False
    assert database.write(domains.remove_domain, "INSIDE.test").result() is True


def test_a_domain_is_changed(database: Database) -> None:
    database.write(domains.add_domain, Domain("inside.test", "old")).result()
    assert database.write(domains.change_domain, Domain("inside.test", "new", "encrypt")).result() is True
    found = database.read(domains.find_domain, "inside.test").result()
    assert found is not None
    assert (found.route, found.tls) == ("new", "encrypt")


def test_the_nearest_route_counts(database: Database) -> None:
    every, one = Route("*", "relay.test"), Route("bank.test", "[10.0.0.9]:26", "encrypt")
    assert database.read(domains.find_route, "bank.test").result() is None
    database.write(domains.put_route, every).result()
    database.write(domains.put_route, one).result()
    assert database.read(domains.find_route, "Bank.test").result() == one
    assert database.read(domains.find_route, "other.test").result() == every
    assert database.read(domains.list_routes).result() == [every, one]


def test_a_route_is_replaced_and_removed(database: Database) -> None:
    database.write(domains.put_route, Route("*", "old")).result()
    database.write(domains.put_route, Route("*", "new")).result()
    assert database.read(domains.list_routes).result() == [Route("*", "new")]
    assert database.write(domains.remove_route, "*").result() is True
    assert database.write(domains.remove_route, "*").result() is False


def test_routes_are_a_tenants_own(database: Database) -> None:
    other = tenant(database)
    database.write(domains.put_route, Route("*", "theirs", tenant=other)).result()
    assert database.read(domains.find_route, "bank.test").result() is None
    assert database.read(domains.list_routes).result() == []
    assert database.write(domains.remove_route, "*").result() is False


def test_what_a_domain_asks_of_the_other_side_is_kept(database: Database) -> None:
    database.write(domains.add_domain, Domain("inside.test", "", recipients="list")).result()
    asked = Domain("inside.test", "", "fingerprint", recipients="call", fingerprints=("ab", "cd"))
    assert database.write(domains.change_domain, asked).result() is True
    found = database.read(domains.find_domain, "inside.test").result()
    assert found is not None
    assert (found.tls, found.recipients, found.fingerprints) == ("fingerprint", "call", ("ab", "cd"))


def test_a_route_keeps_its_login_and_shows_no_secret(database: Database) -> None:
    route = Route("*", "relay.test", "secure", login="us", secret=b"sealed", fingerprints=("ab",))
    database.write(domains.put_route, route).result()
    assert database.read(domains.find_route, "bank.test").result() == route
    assert database.read(domains.list_routes).result() == [route]
    assert "sealed" not in repr(route)
