"""The LDAP door: who is told what, how soon, and what an entry looks like."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import attrs
import pytest

from securegw.crypto import authority as authorities
from securegw.mail.address import parse_path
from securegw.mail.errors import StoreBusy
from securegw.servers import ldap_replies as replies
from securegw.servers.ldap_settings import LdapSettings
from securegw.store import domains, keystore, people
from tests.servers.ldap_people import ANN, CAROL, add, add_ann, add_carol, add_pgp, settled  # noqa: F401
from tests.support import ldap_client as client
from tests.support.ldap_client import BASE, ONE
from tests.support.ldap_door import KNOWN, LdapDoor
from tests.support.world import OUTSIDE, START, World, authority, person

CERTIFICATE, SMIME = "userCertificate;binary", "userSMIMECertificate;binary"


def look(world: World) -> None:
    world.wait(world.house.published.look())


# --- two sides --------------------------------------------------------------------------------------------------------


def test_inside_tells_of_partners_and_outside_of_us_and_never_the_other_way(world: World) -> None:
    carol, ann = add_carol(world), add_ann(world)
    inside, outside = LdapDoor(world), LdapDoor(world, ours=True)
    [entry] = inside.search(f"(mail={CAROL})").entries
    assert entry.attributes[CERTIFICATE] == [carol]
    [entry] = outside.search(f"(mail={ANN})").entries
    assert entry.attributes[CERTIFICATE] == [ann]
    for door, other in ((inside, ANN), (outside, CAROL)):
        for _ in range(2):  # asked for, and prepared
            assert door.search(f"(mail={other})").entries == []
            assert door.search("(objectClass=*)", scope=BASE, base=f"mail={other},o=securegw").entries == []
    for ours, mine in ((False, CAROL), (True, ANN)):
        assert LdapDoor(world, ours=ours, peer=KNOWN).search("(mail=*)").addresses == [mine]


def test_a_domain_that_becomes_ours_changes_sides(world: World) -> None:
    add_carol(world)
    inside = LdapDoor(world)
    assert inside.search(f"(mail={CAROL})").addresses == [CAROL]
    world.write(domains.add_domain, domains.Domain(name="partner.test", route="[192.0.2.1]:25"))
    world.wait(world.house.places.refresh())
    look(world)
    assert inside.search(f"(mail={CAROL})").addresses == []
    assert LdapDoor(world, ours=True).search(f"(mail={CAROL})").addresses == []  # learned from a mail: not vouched for


def test_authorities_are_nobody(world: World) -> None:
    add_carol(world)
    for ours in (True, False):
        door = LdapDoor(world, ours=ours, peer=KNOWN)
        assert all("CA" not in name for name in door.search("(cn=*)").names)
        assert door.search("(mail=)").entries == []


# --- only what is valid and trusted -----------------------------------------------------------------------------------


def test_what_is_not_trusted_is_not_told(world: World) -> None:
    stranger = person("eve@elsewhere.test", "Unknown CA")
    add(world, stranger.certificate, "eve@elsewhere.test", trust="unknown", source="harvested")
    add_carol(world, trust="refused")
    door = LdapDoor(world)
    assert door.search("(mail=eve@elsewhere.test)").entries == []
    assert door.search(f"(mail={CAROL})").entries == []


@pytest.mark.parametrize("expired", [False, True])
def test_expired_certificates_by_setting_only(world: World, expired: bool) -> None:
    add_carol(world)
    world.house.published._expired = expired
    door = LdapDoor(world)
    assert door.search(f"(mail={CAROL})").addresses == [CAROL]
    world.clock.advance(901 * 86400.0)
    found = LdapDoor(world, factory=door.factory).search(f"(mail={CAROL})")  # the prepared entry has ended too
    assert found.addresses == ([CAROL] if expired else [])


def test_a_certificate_that_begins_later_is_told_when_it_begins(world: World) -> None:
    der = add_carol(world, not_before=START + 10)
    assert der
    door = LdapDoor(world)
    row = world.read(keystore.find, CAROL)[0]
    assert row.not_before == START + 10
    # The certificate itself decides: the row's time only says when to look again.
    assert door.search(f"(mail={CAROL})").addresses == [CAROL]
    assert next(iter(door.factory.directory.shelf.ready.values())).until <= START + 10


# --- within a second --------------------------------------------------------------------------------------------------


def test_learned_distrusted_and_removed_are_seen_at_the_next_look(world: World) -> None:
    door = LdapDoor(world)
    look(world)
    assert door.search(f"(mail={CAROL})").entries == []
    add_carol(world)
    look(world)
    assert door.search(f"(mail={CAROL})").addresses == [CAROL]
    [row] = world.read(keystore.find, CAROL)
    world.write(keystore.set_trust, row.id, "refused")
    look(world)
    assert door.search(f"(mail={CAROL})").entries == []
    world.write(keystore.set_trust, row.id, "trusted")
    look(world)
    assert door.search(f"(mail={CAROL})").addresses == [CAROL]
    world.write(keystore.remove, row.id)
    look(world)
    assert door.search(f"(mail={CAROL})").entries == []


def test_a_new_root_makes_its_people_known(world: World) -> None:
    someone = person(CAROL)
    add(world, someone.certificate, CAROL, trust="unknown", source="harvested")
    door = LdapDoor(world)
    look(world)
    assert door.search(f"(mail={CAROL})").entries == []
    world.trust(someone.root)
    look(world)
    assert door.search(f"(mail={CAROL})").addresses == [CAROL]


def test_what_a_mail_taught_and_what_was_issued_on_demand_is_told(world: World) -> None:
    carol = person(CAROL)
    world.trust(carol.root)
    inside, outside = LdapDoor(world), LdapDoor(world, ours=True)
    look(world)
    assert inside.search(f"(mail={CAROL})").entries == outside.search(f"(mail={ANN})").entries == []
    text = f"From: {CAROL}\r\nTo: {ANN}\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nhi\r\n"
    world.hand_in(CAROL, [ANN], carol.sign(text.encode()), OUTSIDE)
    world.wait(world.house.issuer.issue(parse_path(ANN), "Ann Keller"))
    look(world)
    [entry] = inside.search(f"(mail={CAROL})").entries
    assert entry.attributes[CERTIFICATE] == [carol.certificate]
    assert outside.search(f"(mail={ANN})").addresses == [ANN]


def test_the_gateway_looks_twice_a_second() -> None:
    from securegw.keys.published import LOOK

    assert LOOK <= 0.5


def test_an_answer_that_was_read_before_a_change_is_not_kept(world: World) -> None:
    """The change is seen while the reader is on its way: what it brings may be told once, and is not prepared."""
    add_carol(world)
    published = world.house.published
    look(world)
    door = LdapDoor(world)
    entries = published.entries

    async def slow(*arguments: Any) -> Any:
        found = await entries(*arguments)
        [row] = world.read(keystore.find, CAROL)
        world.write(keystore.set_trust, row.id, "refused")
        look(world)
        return found

    published.entries = slow  # type: ignore[method-assign]
    door.search(f"(mail={CAROL})")
    published.entries = entries  # type: ignore[method-assign]
    assert door.search(f"(mail={CAROL})").entries == []


# --- trouble (REL4) ---------------------------------------------------------------------------------------------------


def test_rel4_a_database_in_trouble_is_never_nobody(world: World) -> None:
    add_carol(world)
    door = LdapDoor(world)
    look(world)
    assert door.search(f"(mail={CAROL})").addresses == [CAROL]
    _break(world)
    for filter in ("(mail=bob@partner.test)", "(pgpUserID=bob@partner.test)"):
        assert door.search(filter).code == replies.UNAVAILABLE
    [said] = door.send(client.compare("mail=dora@partner.test,o=x", "cn", "x", number=50))
    assert said.code == replies.UNAVAILABLE
    # What was true a moment ago is told for a while, and then no more.
    assert door.search(f"(mail={CAROL})").addresses == [CAROL]
    world.clock.advance(61)
    look(world)
    assert door.search(f"(mail={CAROL})").code == replies.UNAVAILABLE


def _break(world: World) -> None:
    """From now on the database says that it is busy."""
    from concurrent.futures import Future

    def read(*_arguments: Any, **_named: Any) -> Future[Any]:
        failed: Future[Any] = Future()
        failed.set_exception(StoreBusy(detail="gone"))
        return failed

    world.database.read = read  # type: ignore[method-assign, assignment]


def test_a_mistake_of_ours_is_answered_without_its_text(world: World) -> None:
    door = LdapDoor(world)

    async def broken(*_arguments: Any, **_named: Any) -> Any:
        raise RuntimeError("secret words")

    door.factory.directory.search = broken  # type: ignore[method-assign]
    found = door.search(f"(mail={CAROL})")
    assert found.code == replies.OTHER
    assert "secret" not in found.text


# --- entries ----------------------------------------------------------------------------------------------------------


def test_an_entry_is_an_inet_org_person(world: World) -> None:
    add_ann(world)
    [entry] = LdapDoor(world, ours=True).search(f"(mail={ANN})", base="o=x").entries
    assert entry.name == "mail=ann@inside.test,o=x"
    shown = {name: values for name, values in entry.attributes.items() if "binary" not in name}
    assert shown == {
        "objectClass": [b"top", b"person", b"organizationalPerson", b"inetOrgPerson"],
        "mail": [ANN.encode()], "cn": [b"Ann Keller"], "sn": [b"Keller"], "givenName": [b"Ann"],
        "displayName": [b"Ann Keller"],
    }  # fmt: skip
    assert {CERTIFICATE, SMIME} == entry.attributes.keys() - shown.keys()


def test_a_users_name_is_that_of_the_user(world: World) -> None:
    add_ann(world)
    world.write(people.add_user, people.User(address=ANN, name="Dr. Ann Keller"))
    [entry] = LdapDoor(world, ours=True).search(f"(mail={ANN})").entries
    assert entry.attributes["cn"] == [b"Dr. Ann Keller"]


def test_all_certificates_of_somebody_are_one_attribute(world: World) -> None:
    ders = {add_carol(world), add(world, _second(), CAROL)}
    [entry] = LdapDoor(world).search(f"(mail={CAROL})").entries
    assert set(entry.attributes[CERTIFICATE]) == ders


def _second() -> bytes:
    return person(CAROL, "Other CA").certificate


def test_the_smime_attribute_is_a_signed_data_with_the_certificates(world: World, tmp_path: Path) -> None:
    """RFC 2798 2.8, read by OpenSSL."""
    der = add_carol(world)
    [entry] = LdapDoor(world).search(f"(mail={CAROL})", wanted=["userSMIMECertificate"]).entries
    assert list(entry.attributes) == [SMIME]
    command = ["openssl", "pkcs7", "-inform", "DER", "-print_certs"]
    done = subprocess.run(command, input=entry.attributes[SMIME][0], capture_output=True, check=True)
    pem = subprocess.run(["openssl", "x509", "-outform", "DER"], input=done.stdout, capture_output=True, check=True)
    assert pem.stdout == der


WANTED = [
    (["userCertificate"], {CERTIFICATE}),
    (["userCertificate;binary"], {CERTIFICATE}),
    (["USERCERTIFICATE;BINARY"], {CERTIFICATE}),
    (["2.5.4.36"], {CERTIFICATE}),
    (["userCertificate;lang-de"], set()),
    (["userSMIMECertificate;binary", "userCertificate"], {CERTIFICATE, SMIME}),
    (["mail", "commonName"], {"mail", "cn"}),
    (["surname", "rfc822Mailbox"], {"mail", "sn"}),
    (["1.1"], set()),
    (["nothing"], set()),
    (["+"], set()),
    (["*", "+"], {"objectClass", "mail", "cn", "sn", "displayName", CERTIFICATE, SMIME}),
    (["*"], {"objectClass", "mail", "cn", "sn", "displayName", CERTIFICATE, SMIME}),
]


@pytest.mark.parametrize(("wanted", "shown"), WANTED, ids=lambda value: ",".join(sorted(value)) or "nothing")
def test_the_attributes_that_are_wanted(settled: World, wanted: list[str], shown: set[str]) -> None:  # noqa: F811
    door = LdapDoor(settled)
    for _ in range(2):  # the long way, and from its bytes
        [entry] = door.search(f"(mail={CAROL})", wanted=wanted).entries
        assert entry.attributes.keys() == shown


def test_types_only(world: World) -> None:
    add_carol(world)
    for _ in range(2):
        [entry] = LdapDoor(world).search(f"(mail={CAROL})", types_only=True).entries
        assert len(entry.attributes) == 7
        assert set(map(tuple, entry.attributes.values())) == {()}


def test_capital_letters_of_an_address_do_not_matter(world: World) -> None:
    address = "Dora.Lang@partner.test"
    der = add_carol(world, address)
    door = LdapDoor(world)
    low = address.lower()
    for asked in (low, low.upper(), "Dora.Lang@Partner.Test", f" {low} "):
        [entry] = door.search(f"(mail={asked})").entries
        assert entry.attributes["mail"] == [address.encode()]
        assert entry.attributes[CERTIFICATE] == [der]


def test_odd_letters_in_a_name_are_escaped(world: World) -> None:
    address = '"a,b+c"@partner.test'
    add_carol(world, address)
    door = LdapDoor(world)
    [entry] = door.search(f"(mail={address})").entries
    assert entry.name == 'mail=\\"a\\,b\\+c\\"@partner.test,o=securegw'
    assert door.search("(objectClass=*)", scope=BASE, base=entry.name).names == [entry.name]


# --- where it is searched ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["", "o=securegw", "dc=example,dc=org", "ou=x,o=securegw"])
@pytest.mark.parametrize("scope", [1, 2])
def test_any_base_will_do(settled: World, base: str, scope: int) -> None:  # noqa: F811
    [name] = LdapDoor(settled).search(f"(mail={CAROL})", base=base, scope=scope).names
    assert name == f"mail={CAROL},{base or 'o=securegw'}"


def test_the_entry_itself_can_be_read(world: World) -> None:
    add_carol(world)
    door = LdapDoor(world)
    name = f"mail={CAROL},o=securegw"
    assert door.search("(objectClass=*)", base=name, scope=BASE).names == [name]
    assert door.search("(cn=nobody)", base=name, scope=BASE).names == []
    assert door.search("(objectClass=*)", base="mail=bob@partner.test,o=x", scope=BASE).code == replies.NO_SUCH_OBJECT
    assert door.search("(objectClass=*)", base="o=elsewhere", scope=BASE).code == replies.NO_SUCH_OBJECT


def test_the_root_says_how_to_go_on(world: World) -> None:
    door = LdapDoor(world, tls=True)
    [entry] = door.search("(objectClass=*)", base="", scope=BASE, wanted=["+"]).entries
    assert entry.name == ""
    assert entry.attributes["namingContexts"] == [b"o=securegw"]
    assert entry.attributes["supportedLDAPVersion"] == [b"3"]
    assert client.PAGES.encode() in entry.attributes["supportedControl"]
    assert entry.attributes["supportedExtension"] == [client.START_TLS.encode()]
    [entry] = door.search("(objectClass=*)", base="", scope=BASE, wanted=["namingContexts"]).entries
    assert list(entry.attributes) == ["namingContexts"]
    [entry] = LdapDoor(world).search("(objectClass=*)", base="", scope=BASE, wanted=["+"]).entries
    assert "supportedExtension" not in entry.attributes


def test_the_schema_names_what_entries_have(world: World) -> None:
    door = LdapDoor(world)
    [entry] = door.search("(objectClass=subschema)", base="cn=Subschema", scope=BASE, wanted=["+", "*"]).entries
    told = b" ".join(entry.attributes["attributeTypes"])
    assert all(name in told for name in (b"'userCertificate'", b"'userSMIMECertificate'", b"'mail'", b"'sn'"))
    add_carol(world)
    add_pgp(world)
    shown = door.search(f"(|(mail={CAROL})(gpgMailbox={CAROL}))").entries
    shown += door.search("(objectClass=*)", base="cn=pgpServerInfo,o=securegw", scope=BASE).entries
    assert len(shown) == 3
    for each in (name.partition(";")[0] for one in shown for name in one.attributes):
        assert f"'{each}'".encode() in told, each
    classes = b" ".join(entry.attributes["objectClasses"])
    assert all(b"'%s'" % name in classes for one in shown for name in one.attributes["objectClass"])
    [entry] = door.search("(objectClass=*)", base="o=securegw", scope=BASE).entries
    assert entry.attributes["o"] == [b"securegw"]


def test_dirmngr_finds_gnupgs_schema(world: World) -> None:
    wanted = ["pgpBaseKeySpaceDN", "pgpVersion", "pgpSoftware"]
    base = "cn=pgpServerInfo,o=securegw"
    [entry] = LdapDoor(world).search("(objectClass=*)", base=base, scope=BASE, wanted=wanted).entries
    assert entry.attributes == {"pgpBaseKeySpaceDN": [b"o=securegw"], "pgpSoftware": [b"GnuPG"], "pgpVersion": [b"2"]}


# --- OpenPGP ----------------------------------------------------------------------------------------------------------


def test_openpgp_keys_stand_on_their_side(world: World) -> None:
    carols, anns = add_pgp(world), add_pgp(world, f"Ann <{ANN}>", seed=2)
    inside, outside = LdapDoor(world), LdapDoor(world, ours=True)
    [entry] = inside.search(f"(pgpUserID={CAROL})").entries
    assert entry.attributes["gpgFingerprint"] == [carols.encode()]
    assert entry.attributes["pgpKey"][0].startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n")
    assert inside.search(f"(pgpUserID={ANN})").entries == []
    assert inside.search(f"(gpgFingerprint={anns})").entries == []
    [entry] = outside.search(f"(pgpCertID={anns[-16:]})").entries
    assert entry.attributes["gpgMailbox"] == [ANN.encode()]


def test_a_key_with_one_of_our_addresses_is_ours(world: World) -> None:
    both = add_pgp(world, f"Ann <{ANN}>", seed=3)
    assert LdapDoor(world).search(f"(gpgFingerprint={both})").entries == []


def test_named_networks_search_keys_by_a_part(world: World) -> None:
    add_pgp(world)
    assert len(LdapDoor(world, peer=KNOWN).search("(pgpUserID=*meier*)").entries) == 1
    assert LdapDoor(world).search("(pgpUserID=*meier*)").code == replies.ADMIN_LIMIT_EXCEEDED


# --- named networks ---------------------------------------------------------------------------------------------------


def test_named_networks_search_for_parts_of_addresses_and_names(world: World) -> None:
    add_carol(world)
    add_carol(world, "bob.meier@partner.test")
    add_ann(world)
    world.write(people.add_user, people.User(address=ANN, name="Zoe Keller"))
    door = LdapDoor(world, peer=KNOWN)
    assert door.search("(mail=car*)").addresses == [CAROL]
    assert door.search("(|(cn=*meier*)(mail=*meier*)(sn=*meier*))").addresses == ["bob.meier@partner.test"]
    assert door.search("(&(mail=*)(!(mail=car*)))").addresses == ["bob.meier@partner.test"]
    assert door.search("(mail=*)", scope=ONE).addresses == ["bob.meier@partner.test", CAROL]
    assert door.search("(mail=*nobody*)").addresses == []
    assert LdapDoor(world, ours=True, peer=KNOWN).search("(cn=zoe*)").addresses == [ANN]


def add_named(world: World, address: str, name: str) -> None:
    """A partner whose certificate has a name, from an authority that is trusted."""
    key, root = authority("Partner CA")
    world.trust(root)
    _, der = authorities.issue(key, root, address=address, name=name, kind="p-256", days=300, now=START - 60)
    add(world, der, address, source="harvested", trust="unknown")


def test_named_networks_find_partners_by_the_names_in_their_certificates(world: World) -> None:
    add_named(world, "zk@partner.test", "Zoë  KELLER")
    add_named(world, "wm@partner.test", "Walter Müller")
    door = LdapDoor(world, peer=KNOWN)
    for filter, found in (
        ("(cn=zoë*)", ["zk@partner.test"]),
        ("(cn=Zoë Keller)", ["zk@partner.test"]),
        ("(sn=keller)", ["zk@partner.test"]),
        ("(sn=MÜLL*)", ["wm@partner.test"]),
        ("(givenName=walt*)", ["wm@partner.test"]),
        ("(displayName=*ter mü*)", ["wm@partner.test"]),
        ("(|(cn=*ler*)(mail=*ler*)(sn=*ler*))", ["wm@partner.test", "zk@partner.test"]),
        ("(&(mail=*)(|(mail=wal*)(|(cn=wal*)(|(sn=wal*)(givenName=wal*)(displayName=wal*)))))", ["wm@partner.test"]),
        # Thunderbird's completion of two words, Domino's mail filter (HCL's manual)
        ("(|(cn=zoë*kel*)(mail=zoë*kel*)(sn=zoë*kel*))", ["zk@partner.test"]),
        (
            "(|(cn=Keller Zoë)(|(&(sn=Keller)(givenname=Zoë))(&(sn=Zoë)(givenname=Keller))))",
            ["zk@partner.test"],
        ),
        ("(&(givenName=zo*)(sn=mü*))", []),
        ("(cn=%)", []),
    ):
        assert sorted(door.search(filter).addresses) == found, filter
    assert LdapDoor(world).search("(cn=zoë*)").code == replies.ADMIN_LIMIT_EXCEEDED
    assert LdapDoor(world).search("(cn=Zoë Keller)").entries == []
    assert LdapDoor(world, ours=True, peer=KNOWN).search("(cn=*keller*)").addresses == []


def test_a_name_of_a_certificate_that_may_not_be_used_finds_nobody(world: World) -> None:
    add_named(world, "zk@partner.test", "Zoe Keller")
    [row] = world.read(keystore.find, "zk@partner.test")
    world.write(keystore.set_trust, row.id, "refused")
    assert LdapDoor(world, peer=KNOWN).search("(cn=zoe*)").entries == []


def test_people_and_keys_in_one_answer(world: World) -> None:
    add_carol(world)
    add_pgp(world)
    found = LdapDoor(world).search(f"(|(mail={CAROL})(pgpUserID={CAROL}))", wanted=["mail", "gpgMailbox"])
    assert [set(entry.attributes) for entry in found.entries] == [{"gpgMailbox"}, {"mail"}]


def test_a_search_that_cannot_look_at_everybody_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from securegw.servers import ldap_directory

    monkeypatch.setattr(ldap_directory, "SLICE", 2)
    monkeypatch.setattr(ldap_directory, "MOST_SLICES", 2)
    for number in range(6):
        add_carol(world, f"p{number}@partner.test")
    found = LdapDoor(world, peer=KNOWN).search("(&(mail=*)(!(mail=p*)))")
    assert (found.entries, found.code) == ([], replies.ADMIN_LIMIT_EXCEEDED)
    assert LdapDoor(world, peer=KNOWN).search("(&(mail=*)(mail=p3*))").addresses == ["p3@partner.test"]


def test_size_limits_of_client_and_server(world: World) -> None:
    for number in range(5):
        add_carol(world, f"p{number}@partner.test")
    door = LdapDoor(world, peer=KNOWN, entries_known=4)
    found = door.search("(mail=p*)", size=2)
    assert (len(found.entries), found.code) == (2, replies.SIZE_LIMIT_EXCEEDED)
    found = door.search("(mail=p*)")
    assert (len(found.entries), found.code) == (4, replies.SIZE_LIMIT_EXCEEDED)
    found = door.search("(mail=p0*)", size=1)
    assert (len(found.entries), found.code) == (1, replies.SUCCESS)


def test_pages(world: World) -> None:
    for number in range(5):
        add_carol(world, f"p{number}@partner.test")
    door = LdapDoor(world, peer=KNOWN)
    names, cookie, sizes = [], b"", []
    while True:
        found = door.search("(mail=p*)", controls=client.page(2, cookie, critical=True))
        names += found.addresses
        sizes.append(len(found.entries))
        cookie = found.cookie or b""
        if not cookie:
            break
    assert names == [f"p{number}@partner.test" for number in range(5)]
    assert sizes == [2, 2, 1]
    assert door.search("(mail=p*)", controls=client.page(2, b"gone")).code == replies.UNWILLING_TO_PERFORM
    found = door.search("(mail=p*)", controls=client.page(2))
    given_up = door.search("(mail=p*)", controls=client.page(0, found.cookie or b""))
    assert (given_up.entries, given_up.cookie) == ([], b"")


def test_pages_end_with_who_they_were_found_for(world: World) -> None:
    for number in range(3):
        add_carol(world, f"p{number}@partner.test")
    door = LdapDoor(world, tls=True)
    door.start_tls()
    assert [said.code for said in door.send(client.bind("ann", "secret", number=50))] == [0]
    cookie = door.search("(mail=*)", controls=client.page(1)).cookie
    assert cookie
    assert [said.code for said in door.send(client.bind(number=51))] == [0]
    rest = door.search("(mail=*)", controls=client.page(1, cookie))
    assert (rest.entries, rest.code) == ([], replies.UNWILLING_TO_PERFORM)


def test_compare(world: World) -> None:
    add_carol(world)
    door = LdapDoor(world)
    name = f"mail={CAROL},o=securegw"
    for test in (("mail", CAROL.upper(), 6), ("mail", "x", 5), ("pgpKey", "x", 16), ("uid", "x", 16)):
        [said] = door.send(client.compare(name, test[0], test[1]))
        assert (said.tag, said.code) == (0x6F, test[2]), test
    [said] = door.send(client.compare("mail=bob@partner.test,o=x", "mail", "x"))
    assert said.code == replies.NO_SUCH_OBJECT


def test_quick_answers_are_the_same_as_long_ones(world: World) -> None:
    add_carol(world)
    door = LdapDoor(world)
    for wanted in ((), ("userCertificate",), ("mail", "cn"), ("userSMIMECertificate", "1.1")):
        asked = client.search(f"(mail={CAROL})", number=5, wanted=wanted, base="")
        first = door.send(asked)
        assert door.connection._dialogue.quick_answers == 0
        second = door.send(asked)
        assert door.connection._dialogue.quick_answers == 1
        before = door.factory.quickly_found._value.get()
        world.clock.advance(1)
        assert door.factory.quickly_found._value.get() == before + 1
        assert first == second
    nobody = client.search("(mail=nobody@partner.test)", number=6)
    assert door.send(nobody) == door.send(nobody)


def test_settings_are_those_of_the_threat_list() -> None:
    own = attrs.asdict(LdapSettings())
    assert (own["entries"], own["searches_per_minute"], own["networks"], own["expired"]) == (10, 60, (), False)
