"""A PostgreSQL that falls ill when it is told to: stopped, frozen, without room for clients, killed in a commit, at
odds with everybody who writes.

Its databases belong to a role that is no superuser, because superusers are let in whatever the limits are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from tests.support.postgres import Postgres, own_server

ROLE = "gateway"
SECONDS = 20.0
# One of so many statements that write, and of so many commits, is undone, as if another transaction were in its way. A
# sequence counts them, for it is not undone itself.
UNDONE = 20
AT_ODDS = """
CREATE SEQUENCE at_odds_turn;
CREATE FUNCTION at_odds() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE turn bigint := nextval('public.at_odds_turn');
BEGIN
    IF turn % {undone} = 0 THEN
        RAISE EXCEPTION 'at odds with another transaction'
            USING ERRCODE = CASE WHEN turn % {twice} = 0 THEN '40P01' ELSE '40001' END;
    END IF;
    RETURN NULL;
END $$;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TRIGGER at_odds AFTER INSERT OR UPDATE OR DELETE ON %I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION at_odds()', name);
    END LOOP;
END $$;
CREATE CONSTRAINT TRIGGER at_odds_at_commit AFTER INSERT OR UPDATE ON item DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION at_odds();
"""


@attrs.define
class IllPostgres(Postgres):
    """Healthy until one of its methods is used; each trouble lasts for one ``with``."""

    newest: str = ""  # the name of the last database that was made

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://{ROLE}@/{name}?host={self.folder}"

    def database(self, template: str = "template0") -> str:
        name = super().database(template)
        self.psql(f"ALTER DATABASE {name} OWNER TO {ROLE}")
        self.newest = name
        return name

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.serve()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The kernel still takes connections and bytes for it; nobody answers."""
        family = self.family()
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def crowded(self) -> Iterator[None]:
        """Nobody is let in, and who is inside is sent away."""
        self.psql(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
        self.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")
        try:
            yield
        finally:
            self.psql(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Commits wait for a synchronous standby that is not there."""
        self.psql("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
        self.psql("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            self.until(lambda: self.psql("ALTER SYSTEM RESET synchronous_standby_names") == "")
            self.psql("SELECT pg_reload_conf()")

    @contextlib.contextmanager
    def killed_in_commit(self) -> Iterator[None]:
        """The server process of a commit that waits is killed: all others are ended too, and the server recovers."""
        with self.alone():
            waiting = self.until(
                lambda: self.psql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' LIMIT 1")
            )
            os.kill(int(waiting), signal.SIGKILL)
            yield

    @contextlib.contextmanager
    def at_odds(self) -> Iterator[None]:
        """Deadlocks and serialization failures: five of a hundred statements and commits that write."""
        self.psql(AT_ODDS.format(undone=UNDONE, twice=2 * UNDONE), self.newest)
        try:
            yield
        finally:
            self.psql("DROP FUNCTION at_odds CASCADE", self.newest)

    def undone(self) -> int:
        """How often somebody was undone for being at odds."""
        return int(self.psql("SELECT last_value FROM at_odds_turn", self.newest)) // UNDONE

    def family(self) -> list[int]:
        """The postmaster and its children."""
        master = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        return [master, *map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split())]

    def until(self, asked: Callable[[], object]) -> str:
        """The first answer that is one; the server may be recovering meanwhile."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(AssertionError):
                if answer := asked():
                    return str(answer)
            time.sleep(0.02)
        raise AssertionError("the server never came to that")


@contextlib.contextmanager
def ill_postgres() -> Iterator[IllPostgres]:
    with own_server(IllPostgres) as server:
        server.psql(f"CREATE ROLE {ROLE} LOGIN")
        yield server
