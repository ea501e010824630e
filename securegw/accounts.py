"""The one place that checks a password: people, codes, logins, mailboxes, sessions, tries.

Not second factors yet, and not the pages. The password of an account is never kept, not even as a hash: it opens the
account's private key or it does not. That of a login opens nothing, and its hash is kept.
RFC 9106 (Argon2id), NIST SP 800-63B-4 3.1.1 and 3.2.2 (throttling).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import attrs
import txaio

from securegw.crypto import passwords, seal
from securegw.crypto.seal import MasterKey
from securegw.fresh import Fresh
from securegw.mail.address import parse_address
from securegw.mail.errors import BadAddress, SealBroken, TooManyTries, WeakPassword, WrongPassword
from securegw.store import limits, logins, people, websessions
from securegw.store.people import Account
from securegw.store.websessions import WebSession

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from securegw.crypto.passwords import Cost
    from securegw.mail.address import Address
    from securegw.store.database import Database
    from securegw.store.logins import Login
    from securegw.workers.work import Work

P = ParamSpec("P")
T = TypeVar("T")

log = txaio.make_logger()

SESSION, DRAFT = "web-session", "draft"
IDLE = 30 * 60.0
LONGEST = 12 * 3600.0
TOUCH = 60.0  # a session's last use is written at most this often

PAUSES = (60.0, 300.0, 900.0)
FREE_OF_ACCOUNT = 5
FREE_OF_SOURCE = 20  # a whole office may sit behind one address
SOURCE_FORGETS = 3600.0
FORGOTTEN = 86400.0  # no failure counts longer
FREE_OF_LOGIN = 20  # from all networks together
LONGEST_NAME = 254
REMEMBERED = 3600.0  # a program signs in for every mail: one hash in this time is enough for it
HASHES = 20  # at once; more would be a flood that keeps everybody out (threats 5.9.68)


@attrs.frozen
class SignedIn:
    """Somebody outside who has proved who she is; ``private`` opens her letters."""

    account: Account
    private: bytes = attrs.field(repr=False)

    @property
    def registered(self) -> bool:
        """False as long as the first code is the only password."""
        return self.account.registered


@attrs.frozen
class Known:
    """What a browser that brought a genuine letter may be told about its account."""

    address: str
    registered: bool


class Accounts:
    """Makes accounts, lets their owners in, and remembers who is in."""

    def __init__(
        self, database: Database, master: MasterKey, workers: Work, now: Callable[[], float], cost: Cost
    ) -> None:
        self.database = database
        self.master = master
        self.workers = workers
        self.now = now
        self.cost = cost
        # Somebody unknown costs the same work as somebody known: no password opens these.
        self.nobody = passwords.wrapped_of_nobody(96, cost)
        self.no_login = passwords.hash_of_nobody(cost)
        self.proved: Fresh[str] = Fresh(now, REMEMBERED)
        self.proof_key = os.urandom(32)
        self.hashing = 0

    # --- making and knowing ---------------------------------------------------------------------------------------

    async def new_account(self, address: Address, language: str) -> tuple[Account, str]:
        """A new account as a row that the caller adds, and its first code, which only the sender may learn."""
        code = passwords.new_code()
        public, wrapped = await self.workers.thread(_new_keys, code, self.cost)
        account = Account(
            id=secrets.token_hex(16), address=str(address), public=public, wrapped=wrapped, created=self.now(),
            language=language,
        )
        return account, code

    async def known(self, account: str) -> Known | None:
        """Address and state of an account, for the page that opens a genuine letter of it."""
        found = await self.workers.settle(self.database.read(people.account_by_id, account))
        return None if found is None or found.blocked else Known(found.address, found.registered)

    # --- signing in -----------------------------------------------------------------------------------------------

    async def sign_in(self, address: str, password: str, source: str, letter_for: str = "") -> SignedIn:
        """Let somebody in by password, or by the first code as long as there is no password.

        ``source`` is the network of the browser, ``letter_for`` the account of the genuine letter that it brought.
        Unknown and blocked accounts get the same answer, after the same time, as a wrong password.
        """
        key = _key(address)
        account = await self.workers.settle(self.database.read(people.account_by_address, key))
        counters = _counters(key, source, own=account is not None and account.id == letter_for)
        await self._may_try(counters)
        private = await self._hash(_open, account, self.nobody, password)
        if account is None or private is None:
            log.info("sign-in refused, account {account}", account=account.id if account else "unknown")
            raise WrongPassword
        await self.workers.settle(self.database.write(_forget_tries, [key for key, _, _ in counters]))
        log.info("sign-in, account {account}", account=account.id)
        return SignedIn(account, private)

    async def check_login(self, name: str, password: str, source: str) -> str:
        """The name of the login that this password is for; ``source`` is the network of the peer.

        What was right within the last hour is right without another hash, as long as the login has not changed;
        so nobody who guesses keeps a program out that has just been in. Unknown names are answered as wrong ones.
        """
        login = await self.workers.settle(self.database.read(logins.get, name)) if _is_name(name) else None
        proof = self._proof(login, password)
        if login is not None and self.proved.knows(proof):
            return self.proved[proof]
        counters = _login_counters(_login_key(name), source)
        await self._may_try(counters)
        good = await self._hash(passwords.check_password, password, login.secret if login else self.no_login)
        if login is None or not good:
            log.info("login refused, {login}", login=login.name if login else "unknown")
            raise WrongPassword
        await self.workers.settle(self.database.write(_forget_tries, [key for key, _, _ in counters]))
        return self.proved.keep(proof, login.name)

    async def login(self, name: str) -> Login | None:
        """What somebody who has signed in may do; None if the login has been removed since."""
        return await self.workers.settle(self.database.read(logins.get, name))

    async def unwrap(self, password: str, wrapped: bytes | None) -> bytes:
        """What this password opens; raises WrongPassword. Of nothing (None) too, and after the same time.

        The caller counts tries; here is only the bound of all: TooManyTries where a flood of them is under way.
        """
        if self.hashing >= HASHES:
            raise TooManyTries(seconds=1.0, detail="too many passwords are being checked")
        secret = await self._hash(passwords.unwrap, password, self.nobody if wrapped is None else wrapped)
        if wrapped is None:
            raise WrongPassword
        return secret

    def _proof(self, login: Login | None, password: str) -> str:
        """Of a login as it stands and a password; says nothing to who does not have this process's key."""
        said = "\0".join((login.name, login.secret, password) if login else ("", "", password))
        return hmac.digest(self.proof_key, said.encode("utf-8", "surrogatepass"), "sha256").hex()

    async def _hash(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """An Argon2 run in a thread."""
        self.hashing += 1
        try:
            return await self.workers.thread(work, *arguments, **named)
        finally:
            self.hashing -= 1

    async def _may_try(self, counters: list[tuple[str, int, float]]) -> None:
        if self.hashing >= HASHES:  # and this was no try: a flood must not count against the owner
            raise TooManyTries(seconds=1.0, detail="too many passwords are being checked")
        wait = await self.workers.settle(self.database.write(_count_try, counters, self.now()))
        if wait > 0:
            raise TooManyTries(seconds=wait)

    # --- registering ----------------------------------------------------------------------------------------------

    def weakness(self, password: str, address: str) -> str | None:
        """What is wrong with a new password in one word, None if it will do."""
        return passwords.check_strength(password, address)

    async def register(self, signed_in: SignedIn, name: str, password: str, language: str) -> SignedIn:
        """Take the owner's own password in the place of the first code; all sessions of the account end.

        Of two who hold the code only the first gets here: for the other it is a wrong one by now.
        """
        before = signed_in.account
        weakness = self.weakness(password, before.address)
        if weakness is not None:
            raise WeakPassword(detail=weakness)
        wrapped = await self.workers.thread(passwords.wrap, password, signed_in.private, self.cost)
        now = self.now()
        after = attrs.evolve(
            before, wrapped=wrapped, name=name, language=language, registered=True, terms=now, seen=now
        )
        if not await self.workers.settle(self.database.write(_register, after, before.wrapped)):
            raise WrongPassword(detail="registered meanwhile")
        log.info("registered, account {account}", account=after.id)
        return SignedIn(after, signed_in.private)

    # --- sessions -------------------------------------------------------------------------------------------------

    async def open_session(self, signed_in: SignedIn) -> str:
        """A new session; its token is for the browser's cookie only and is not kept."""
        token = secrets.token_urlsafe(32)
        now = self.now()
        session = WebSession(
            token_hash=_hash(token), account=signed_in.account.id, created=now, seen=now,
            sealed=self._session_key(token).seal(SESSION, signed_in.account.id, signed_in.private),
            language=signed_in.account.language,
        )
        await self.workers.settle(self.database.write(_begin_session, session))
        return token

    async def session(self, token: str) -> SignedIn | None:
        """Who is signed in with this token, if anybody still is."""
        if not token:
            return None
        found = await self.workers.settle(self.database.read(_who, _hash(token)))
        if found is None:
            return None
        session, account = found
        now = self.now()
        if account.blocked or session.seen + IDLE < now or session.created + LONGEST < now:
            return None
        try:
            private = self._session_key(token).open(SESSION, account.id, session.sealed)
        except SealBroken:
            return None
        if session.seen + TOUCH < now:
            await self.workers.settle(self.database.write(websessions.touch, session.token_hash, now))
        return SignedIn(account, private)

    async def end_session(self, token: str) -> None:
        """Sign out; a token of nobody's is no mistake."""
        await self.workers.settle(self.database.write(websessions.remove, _hash(token)))

    def _session_key(self, token: str) -> MasterKey:
        """Needs both what only the browser has and what only the gateway has: a stolen table opens nothing."""
        return MasterKey(hmac.digest(self.master.derive(SESSION), token.encode(), "sha256"))

    # --- what somebody was writing when the session ended ---------------------------------------------------------

    def seal_draft(self, letter: str, text: str) -> str:
        """A text that waits in the browser while its writer signs in again."""
        return base64.urlsafe_b64encode(self.master.seal(DRAFT, letter, text.encode())).decode("ascii")

    def open_draft(self, letter: str, sealed: str) -> str:
        """The text again, empty if it was not sealed here for this letter."""
        try:
            return self.master.open(DRAFT, letter, base64.urlsafe_b64decode(sealed.encode())).decode()
        except (ValueError, SealBroken):
            return ""


# --- functions for workers ----------------------------------------------------------------------------------------


def _new_keys(code: str, cost: Cost) -> tuple[bytes, bytes]:
    private, public = seal.generate()
    return public, passwords.wrap(passwords.fold_code(code), private, cost)


def _open(account: Account | None, nobody: bytes, password: str) -> bytes | None:
    """The private key, None if this password does not open it. One Argon2 run, whoever asks for whom."""
    wrapped = nobody if account is None else account.wrapped
    first = account is not None and not account.registered
    try:
        private = passwords.unwrap(passwords.fold_code(password) if first else password, wrapped)
    except WrongPassword:
        return None
    return None if account is None or account.blocked else private


# --- steps and questions for the database: one transaction each ---------------------------------------------------


def _count_try(conn: Connection, counters: list[tuple[str, int, float]], now: float) -> float:
    """Count a try before it is made, so that fifty at once are fifty; the seconds to wait if it may not be made."""
    wait = max(_wait(limits.standing(conn, key), free, now) for key, free, _ in counters)
    if wait <= 0:
        for key, _, forget in counters:
            limits.failed(conn, key, now, forget)
    return wait


def _wait(tries: limits.Tries, free: int, now: float) -> float:
    """A refused try is not counted: who waits as told is let in, whatever others try meanwhile."""
    if tries.count < free:
        return 0.0
    pause = PAUSES[min(tries.count - free, len(PAUSES) - 1)]
    return tries.last + pause - now


def _forget_tries(conn: Connection, keys: list[str]) -> None:
    for key in keys:
        limits.clear(conn, key)


def _register(conn: Connection, account: Account, was: bytes) -> bool:
    if not people.update_account(conn, account, was):
        return False
    websessions.remove_all(conn, account.id)
    return True


def _begin_session(conn: Connection, session: WebSession) -> None:
    websessions.prune(conn, created_before=session.created - LONGEST, seen_before=session.created - IDLE)
    websessions.add(conn, session)


def _who(conn: Connection, token_hash: bytes) -> tuple[WebSession, Account] | None:
    session = websessions.get(conn, token_hash)
    account = None if session is None else people.account_by_id(conn, session.account)
    return None if session is None or account is None else (session, account)


# --- names ----------------------------------------------------------------------------------------------------------


def _key(address: str) -> str:
    """The row key of what was typed; what is no address has a key too, which no account has."""
    try:
        return parse_address(address.strip()).key
    except BadAddress:
        return "?" + hashlib.sha256(address.encode("utf-8", "replace")).hexdigest()


def _counters(key: str, source: str, *, own: bool) -> list[tuple[str, int, float]]:
    """What a try counts against: key, free tries, seconds until forgotten.

    Who brought a letter of this very account has a counter of her own, so that strangers cannot lock her out.
    """
    name = f"{'letter' if own else 'account'}:{key}"
    return [(name, FREE_OF_ACCOUNT, FORGOTTEN), (f"source:{source}", FREE_OF_SOURCE, SOURCE_FORGETS)]


def _is_name(name: str) -> bool:
    """Whether a login could have this name; nothing else is worth a question."""
    return 0 < len(name) <= LONGEST_NAME and name.isprintable()


def _login_key(name: str) -> str:
    return hashlib.sha256(name.lower().encode("utf-8", "surrogatepass")).hexdigest()


def _login_counters(key: str, source: str) -> list[tuple[str, int, float]]:
    """Few tries from one network, some more from all of them, so that a guesser in one place keeps only it out."""
    return [
        (f"login:{key}:{source}", FREE_OF_ACCOUNT, FORGOTTEN),
        (f"login:{key}", FREE_OF_LOGIN, SOURCE_FORGETS),
        (f"source:{source}", FREE_OF_SOURCE, SOURCE_FORGETS),
    ]


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
