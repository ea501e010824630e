"""Accounts: passwords are checked in one place, with the same answer and the same work for everybody."""

from __future__ import annotations

import base64

import pytest

from securegw import accounts as room
from securegw.accounts import Accounts
from securegw.crypto import carrier, passwords, seal
from securegw.crypto.passwords import Cost
from securegw.crypto.seal import MasterKey
from securegw.mail.address import parse_address
from securegw.mail.errors import TooManyTries, WeakPassword, WrongPassword
from securegw.store import logins, people
from securegw.store.database import Database
from securegw.workers.work import InlineWorkers

QUICK = Cost(memory=8, time=1, lanes=1)
BOB = "Bob.B@outside.test"
PASSWORD = "vier kleine graue Wolken"


class Now:
    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


class Place:
    """Accounts with a database in memory and a clock that a test turns."""

    def __init__(self, master: MasterKey | None = None) -> None:
        self.now = Now()
        self.database = Database("sqlite://", inline=True)
        self.database.migrate()
        self.master = master or MasterKey.from_text(MasterKey.new_text())
        self.accounts = Accounts(self.database, self.master, InlineWorkers(), self.now, QUICK)

    def run(self, coroutine):
        try:
            while True:
                deferred = coroutine.send(None)
                raise AssertionError(f"waits for {deferred}")
        except StopIteration as end:
            return end.value

    def make(self, address: str = BOB) -> tuple[people.Account, str]:
        account, code = self.run(self.accounts.new_account(parse_address(address), "de"))
        self.database.write(people.add_account, account).result()
        return account, code

    def sign_in(self, password: str, address: str = BOB, source: str = "192.0.2.1", letter_for: str = ""):
        return self.run(self.accounts.sign_in(address, password, source, letter_for))

    def registered(self) -> people.Account:
        _, code = self.make()
        return self.run(self.accounts.register(self.sign_in(code), "Bob", PASSWORD, "en")).account


@pytest.fixture
def place():
    made = Place()
    yield made
    made.database.close()


def test_a_new_account_opens_by_its_code_and_nothing_else(place):
    account, code = place.make()
    assert account.address == "Bob.B@outside.test" and account.language == "de" and not account.registered
    assert code not in repr(account) and place.database.read(people.account_by_id, account.id).result() == account
    signed_in = place.sign_in(code.lower().replace("-", " "), "bob.b@OUTSIDE.test")
    assert signed_in.account == account and "private" not in repr(signed_in)
    sealed = seal.seal(account.public, b"x", b"letter")
    assert seal.open_sealed(signed_in.private, b"x", sealed) == b"letter"
    with pytest.raises(WrongPassword):
        place.sign_in("AAAA-AAAA-AA")


def test_two_accounts_have_nothing_in_common(place):
    one, first = place.make()
    two, second = place.make("eve@outside.test")
    assert one.id != two.id and one.public != two.public and first != second
    with pytest.raises(WrongPassword):
        place.sign_in(second)


def test_registering_replaces_the_code_and_keeps_the_key(place):
    account, code = place.make()
    before = place.sign_in(code)
    after = place.run(place.accounts.register(before, "Bob Beispiel", PASSWORD, "en"))
    row = place.database.read(people.account_by_id, account.id).result()
    assert row.registered and row.name == "Bob Beispiel" and row.language == "en"
    assert row.terms == place.now() and row.public == account.public
    assert after.private == before.private == place.sign_in(PASSWORD).private
    with pytest.raises(WrongPassword):
        place.sign_in(code)


def test_only_the_first_with_the_code_registers(place):
    _, code = place.make()
    one, two = place.sign_in(code), place.sign_in(code)
    place.run(place.accounts.register(one, "Bob", PASSWORD, "en"))
    with pytest.raises(WrongPassword):
        place.run(place.accounts.register(two, "Eve", "ganz anderes Passwort", "en"))
    assert place.sign_in(PASSWORD).account.name == "Bob"


@pytest.mark.parametrize(
    ("password", "word"), [("kurz", "short"), ("Bob.B@outside.test", "address"), ("a" * 30, "simple")]
)
def test_weak_passwords_are_refused_with_a_word(place, password, word):
    _, code = place.make()
    assert place.accounts.weakness(password, BOB) == word
    with pytest.raises(WeakPassword) as caught:
        place.run(place.accounts.register(place.sign_in(code), "Bob", password, "en"))
    assert caught.value.detail == word


def test_a_registered_password_counts_letter_by_letter(place):
    place.registered()
    for other in (PASSWORD.upper(), PASSWORD + " ", PASSWORD.replace(" ", "-"), PASSWORD.replace(" ", "")):
        with pytest.raises(WrongPassword):
            place.sign_in(other)
        place.now.time += 1000
    assert place.sign_in(PASSWORD.replace(" ", "\u00a0"))


def test_everybody_costs_one_hash(place, monkeypatch):
    place.registered()
    runs = []
    true = passwords._key
    monkeypatch.setattr(passwords, "_key", lambda *given: runs.append(given[2]) or true(*given))
    for address in (BOB, "nobody@outside.test", "no address at all", ""):
        with pytest.raises(WrongPassword):
            place.sign_in("wrong password here", address)
    assert runs == [QUICK] * 4


def test_pauses_grow_and_a_waiting_owner_gets_in(place):
    place.registered()
    for _ in range(5):
        with pytest.raises(WrongPassword):
            place.sign_in("wrong")
    for pause in (60, 300, 900, 900):
        with pytest.raises(TooManyTries) as caught:
            place.sign_in(PASSWORD)
        assert caught.value.seconds == pause
        place.now.time += pause - 1
        with pytest.raises(TooManyTries):
            place.sign_in(PASSWORD)
        place.now.time += 1
        with pytest.raises(WrongPassword):
            place.sign_in("wrong")
    place.now.time += 900
    assert place.sign_in(PASSWORD)
    with pytest.raises(WrongPassword):
        place.sign_in("wrong")  # forgotten: five are free again


def test_unknown_names_are_counted_like_known_ones(place):
    for _ in range(5):
        with pytest.raises(WrongPassword):
            place.sign_in("wrong", "nobody@outside.test")
    with pytest.raises(TooManyTries):
        place.sign_in("wrong", "NOBODY@outside.test")


def test_a_thousand_addresses_are_one_account(place):
    place.registered()
    for number in range(5):
        with pytest.raises(WrongPassword):
            place.sign_in("wrong", source=f"198.51.100.{number}")
    with pytest.raises(TooManyTries):
        place.sign_in("wrong", source="198.51.100.77")


def test_who_brings_a_letter_has_a_counter_of_her_own(place):
    account = place.registered()
    for _ in range(6):
        with pytest.raises((WrongPassword, TooManyTries)):
            place.sign_in("wrong", letter_for="f" * 32)
    assert place.sign_in(PASSWORD, letter_for=account.id)


def test_blocked_accounts_do_not_open(place):
    account = place.registered()
    token = place.run(place.accounts.open_session(place.sign_in(PASSWORD)))
    from securegw.store import schema

    place.database.write(lambda conn: conn.execute(schema.account.update().values(blocked=True))).result()
    assert place.run(place.accounts.session(token)) is None
    assert place.run(place.accounts.known(account.id)) is None
    with pytest.raises(WrongPassword):
        place.sign_in(PASSWORD)


def test_a_session_knows_the_key_until_it_ends(place):
    account = place.registered()
    signed_in = place.sign_in(PASSWORD)
    token = place.run(place.accounts.open_session(signed_in))
    again = place.run(place.accounts.session(token))
    assert again == signed_in and again.account.id == account.id
    assert place.run(place.accounts.session("")) is None
    assert place.run(place.accounts.session("ä" * 9)) is None
    assert place.run(place.accounts.session(token[:-1])) is None
    place.run(place.accounts.end_session(token))
    assert place.run(place.accounts.session(token)) is None
    place.run(place.accounts.end_session(token))


def test_sessions_end_by_themselves(place):
    place.registered()
    token = place.run(place.accounts.open_session(place.sign_in(PASSWORD)))
    for _ in range(int(room.LONGEST // 1500)):
        place.now.time += 1500
        assert place.run(place.accounts.session(token))
    place.now.time += 1500
    assert place.run(place.accounts.session(token)) is None
    token = place.run(place.accounts.open_session(place.sign_in(PASSWORD)))
    place.now.time += room.IDLE + 1
    assert place.run(place.accounts.session(token)) is None


def test_a_session_s_key_needs_the_token_and_the_master_key():
    from securegw.store import websessions

    place, other = Place(), Place()
    place.registered()
    token = place.run(place.accounts.open_session(place.sign_in(PASSWORD)))
    row = place.database.read(websessions.get, room._hash(token)).result()
    private = place.sign_in(PASSWORD).private
    assert private not in row.sealed and token.encode() not in row.token_hash
    other.accounts.database = place.database
    assert other.run(other.accounts.session(token)) is None
    place.database.close()
    other.database.close()


def test_drafts_are_bound_to_their_letter(place):
    sealed = place.accounts.seal_draft("letter-1", "Grüße\nzweite Zeile")
    assert place.accounts.open_draft("letter-1", sealed) == "Grüße\nzweite Zeile"
    assert "Gr" not in base64.urlsafe_b64decode(sealed).decode("latin-1")
    for letter, text in (("letter-2", sealed), ("letter-1", sealed[:-8]), ("letter-1", "ä"), ("letter-1", "")):
        assert place.accounts.open_draft(letter, text) == ""


def test_a_letter_for_a_new_account_opens_with_its_code(place):
    """The whole chain: sealed for the public half, opened by what the code unwraps."""
    account, code = place.make()
    sealing = carrier.Sealing("portal.test", account.id, "1" * 32, account.public, b"m" * 32)
    packed = carrier.check(b"m" * 32, ["portal.test"], carrier.pack(sealing, b"Subject: x\r\n\r\nhello"))
    assert carrier.unpack(packed, place.sign_in(code).private).endswith(b"hello")


# --- logins: passwords that open nothing ----------------------------------------------------------------------------


def add_login(place, name="scanner", password=PASSWORD):
    place.database.write(logins.add, logins.Login(name, passwords.hash_password(password, QUICK))).result()


def check(place, password, name="scanner", source="192.0.2.1"):
    return place.run(place.accounts.check_login(name, password, source))


def count_hashes(place, monkeypatch):
    runs = []
    monkeypatch.setattr(
        passwords, "verify_secret", lambda *given, true=passwords.verify_secret: runs.append(1) or true(*given)
    )
    return runs


def test_a_login_is_checked_and_its_name_told(place):
    add_login(place)
    assert check(place, PASSWORD, "SCANNER") == "scanner"
    assert check(place, PASSWORD.replace(" ", "\u00a0")) == "scanner"
    for name, password in (("scanner", "x"), ("scanner", ""), ("", PASSWORD), ("nobody", PASSWORD), ("x" * 999, "x")):
        with pytest.raises(WrongPassword):
            check(place, password, name, source="198.51.100.1")


def test_unknown_logins_cost_one_hash_too(place, monkeypatch):
    add_login(place)
    runs = count_hashes(place, monkeypatch)
    for number, name in enumerate(("scanner", "nobody", "", "a\nb")):
        with pytest.raises(WrongPassword):
            check(place, "wrong", name)
        assert len(runs) == number + 1


def test_a_program_that_signs_in_for_each_mail_costs_one_hash(place, monkeypatch):
    add_login(place)
    runs = count_hashes(place, monkeypatch)
    for _ in range(100):
        assert check(place, PASSWORD)
    assert len(runs) == 1
    place.now.time += room.REMEMBERED + 1
    assert check(place, PASSWORD) and len(runs) == 2


def test_a_new_password_makes_the_old_one_wrong_at_once(place):
    add_login(place)
    assert check(place, PASSWORD)
    place.database.write(logins.remove, "scanner").result()
    with pytest.raises(WrongPassword):
        check(place, PASSWORD)
    add_login(place, password="ganz anderes Passwort")
    with pytest.raises(WrongPassword):
        check(place, PASSWORD)


def test_a_guesser_keeps_only_himself_out(place):
    """Threats 5.6.40 in the words of SMTP: few tries from one network, some more from all."""
    add_login(place)
    assert check(place, PASSWORD)
    for number in range(5):
        with pytest.raises(WrongPassword):
            check(place, f"guess {number}", source="203.0.113.9")
    with pytest.raises(TooManyTries):
        check(place, "guess", source="203.0.113.9")
    assert check(place, PASSWORD, source="203.0.113.9"), "what was right lately needs no try"
    place.now.time += room.REMEMBERED + 1
    assert check(place, PASSWORD)


def test_a_thousand_addresses_get_twenty_tries_an_hour(place):
    add_login(place)
    tries = 0
    for number in range(200):
        try:
            check(place, "guess", source=f"198.51.100.{number}")
        except WrongPassword:
            tries += 1
        except TooManyTries:
            pass
    assert tries == 20


def test_a_flood_of_logins_does_not_queue_up(place):
    """5.9.68: a hash costs 64 MiB; more than a few that wait are refused with "later"."""
    add_login(place)
    place.accounts.hashing = room.HASHES
    for _ in range(10):
        with pytest.raises(TooManyTries) as caught:
            check(place, PASSWORD)
        assert caught.value.temporary
    place.accounts.hashing = 0
    assert check(place, PASSWORD) and place.accounts.hashing == 0


def test_a_login_s_password_is_kept_as_a_hash_with_salt_and_cost():
    one, two = passwords.hash_password(PASSWORD, QUICK), passwords.hash_password(PASSWORD, QUICK)
    assert one != two and one.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert passwords.check_password(PASSWORD, one) and passwords.check_password(PASSWORD, two)
    assert not passwords.check_password(PASSWORD + " ", one)


@pytest.mark.parametrize(
    "hashed",
    [
        "", PASSWORD, "$argon2id$", "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=9999999,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=8,t=999,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=8,t=0,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA\n", "ä",
    ],
)  # fmt: skip
def test_what_is_no_hash_of_ours_is_of_no_password(hashed):
    assert not passwords.check_password(PASSWORD, hashed)


@pytest.mark.parametrize("password", ["", "x" * 257])
def test_no_hash_of_nothing_and_of_novels(password):
    with pytest.raises(WeakPassword):
        passwords.hash_password(password, QUICK)
