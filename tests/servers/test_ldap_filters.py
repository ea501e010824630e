"""Filters: whether an entry fits, whom they are about, and those that real programs send."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from securegw.servers.ldap_filters import Filter, fits, texts, whom
from securegw.servers.ldap_requests import Search, Unanswerable, read_message
from tests.servers.ldap_people import CAROL, settled  # noqa: F401
from tests.support import ldap_client as client
from tests.support import pgp
from tests.support.ldap_door import KNOWN, LdapDoor
from tests.support.world import World

VALUES = {
    "mail": ("carol@partner.test",), "cn": ("carol meier",), "sn": ("meier",), "givenname": (),
    "usercertificate": ("",), "objectclass": ("top", "person"),
}  # fmt: skip

def read(text: str) -> Filter:
    request = read_message(client.search(text)).request
    assert isinstance(request, Search)
    return request.filter


FITS: list[tuple[str, bool | None]] = [
    ("(mail=carol@partner.test)", True),
    ("(MAIL=Carol@PARTNER.test)", True),
    ("(mail= carol@partner.test )", True),
    ("(rfc822Mailbox=carol@partner.test)", True),
    ("(0.9.2342.19200300.100.1.3=carol@partner.test)", True),
    ("(proxyAddresses=SMTP:carol@partner.test)", True),
    ("(mail~=carol@partner.test)", True),
    ("(mail=carol)", False),
    ("(cn=carol   meier)", True),
    ("(mail=*)", True),
    ("(givenName=*)", False),
    ("(userCertificate=*)", True),
    ("(userCertificate;binary=*)", True),
    ("(telephoneNumber=*)", False),
    ("(telephoneNumber=1)", None),
    ("(!(telephoneNumber=1))", None),
    ("(!(givenName=x))", True),
    ("(cn=c*m*r)", True),
    ("(cn=*meier)", True),
    ("(cn=*ol me*)", True),
    ("(cn=carol meier*meier)", False),  # no letter twice
    ("(cn=*eier*meier*)", False),
    ("(cn=*r*r*)", True),
    ("(cn=*r*r*r*)", False),
    ("(cn=*m*m*)", False),
    ("(&(mail=*)(cn=carol*))", True),
    ("(&(mail=*)(telephoneNumber=1))", None),
    ("(&(cn=x)(telephoneNumber=1))", False),
    ("(|(cn=carol*)(telephoneNumber=1))", True),
    ("(|(cn=x)(telephoneNumber=1))", None),
    ("(&)", True),
    ("(|)", False),
    ("(cn>=a)", None),
    ("(cn<=z)", None),
    ("(cn:caseExactMatch:=Carol Meier)", None),
    ("(objectClass=PERSON)", True),
]


@pytest.mark.parametrize(("text", "answer"), FITS)
def test_an_entry_fits_or_not_or_nobody_knows(text: str, answer: bool | None) -> None:
    assert fits(read(text), VALUES) is answer


WHOM: list[tuple[str, set[str] | None, set[str] | None]] = [
    ("(mail=Carol@Partner.test)", {CAROL}, {CAROL}),
    ("(mail=nonsense)", set(), set()),
    ("(mail=carol@partner.test*)", {CAROL}, None),
    ("(cn=*carol@partner.test*)", {CAROL}, None),
    ("(mail=carol*)", None, None),
    ("(mail=*partner.test)", None, None),
    ("(mail=carol*@partner.test)", None, None),
    ("(mail=*)", None, None),
    ("(objectClass=*)", None, None),
    ("(!(mail=carol@partner.test))", None, None),
    ("(&(mail=*)(|(mail=carol@partner.test*)(cn=carol@partner.test*)))", {CAROL}, None),
    ("(&(mail=a@b.test)(mail=c@d.test))", set(), set()),
    ("(|(mail=a@b.test)(mail=c@d.test))", {"a@b.test", "c@d.test"}, {"a@b.test", "c@d.test"}),
    ("(|(mail=a@b.test)(mail=*))", {"a@b.test"}, None),
    ("(|(mail=a@b.test)(!(mail=a@b.test)))", {"a@b.test"}, None),
    ("(pgpCertID=0011AABB0011aabb)", {"0x0011AABB0011AABB"}, {"0x0011AABB0011AABB"}),
    ("(pgpUserID=Carol <carol@partner.test>)", {CAROL}, {CAROL}),
    ("(mail>=carol@partner.test)", None, None),
]


@pytest.mark.parametrize(("text", "stranger", "known"), WHOM)
def test_whom_a_filter_is_about(text: str, stranger: set[str] | None, known: set[str] | None) -> None:
    assert whom(read(text), strict=True) == stranger
    assert whom(read(text), strict=False) == known


def test_texts_that_all_who_fit_must_have() -> None:
    assert texts(read("(|(cn=Mei*)(mail=*eie*))")) == {"mei", "eie"}
    assert texts(read("(&(mail=*)(cn=a*longest*b))")) == {"longest"}
    assert texts(read("(|(cn=Mei*)(objectClass=*))")) == {"mei", ""}


def test_twenty_levels_and_no_more() -> None:
    def nested(levels: int) -> str:
        return "(!" * (levels - 1) + "(cn=x)" + ")" * (levels - 1)

    assert fits(read(nested(20)), VALUES) is True
    for levels in (21, 24, 300):
        assert read_message(client.search(nested(levels))).request == Unanswerable(11, "The filter is nested too deep")


FILE = Path(__file__).parents[1] / "vectors" / "ldap" / "filters.toml"
REAL: list[dict[str, Any]] = tomllib.loads(FILE.read_text("utf-8"))["filter"]


@pytest.mark.parametrize("asked", REAL, ids=lambda asked: str(asked["program"]))
def test_what_real_programs_ask_finds_the_entry(settled: World, asked: dict[str, Any]) -> None:  # noqa: F811
    print_ = pgp.fingerprint()
    words = {"ADDRESS": CAROL, "FINGERPRINT": print_, "LONGID": print_[-16:], "SHORTID": print_[-8:]}
    filter, base = asked["filter"], asked.get("base", "o=securegw")
    for word, value in words.items():
        filter, base = filter.replace(word, value), base.replace(word, value)
    peers = ["192.0.2.9", KNOWN] if asked.get("stranger", True) else [KNOWN]
    for peer in peers:
        door = LdapDoor(settled, peer=peer)
        for _ in range(2):
            found = door.search(filter, wanted=asked["wanted"], base=base, scope=asked.get("scope", 2))
            assert found.code == 0
            assert len(found.entries) == 1
            names = {name.lower() for entry in found.entries for name in entry.attributes}
            assert names <= {"objectclass", *_spelled(asked["wanted"])} or not asked["wanted"]
            if found.entries and any("ertificate" in name for name in asked["wanted"]):
                assert any(name.endswith(";binary") for name in names)
            if found.entries and "pgpKey" in asked["wanted"]:
                assert "pgpkey" in names


def _spelled(wanted: list[str]) -> set[str]:
    low = {name.lower() for name in wanted}
    return low | {f"{name};binary" for name in low} | ({"cn"} if "commonname" in low else set())
