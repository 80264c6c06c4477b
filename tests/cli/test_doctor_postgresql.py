"""The doctor, where the store is in PostgreSQL."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.store.store import run
from tests.cli.shell import Shell
from tests.folders import folder_of
from tests.live.peers import free_port
from tests.postgresql import cluster
from tests.store.postgresql_case import store_database
from tests.store.samples import NOW, StoreCase, accepted


class DoctorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = cluster()
        self.database = store_database(self, self.server)
        self.shell = Shell(self, folder_of(self))
        self.sets = [f"store.url={self.server.url(self.database)}"]
        for key in ("submission.listen", "submission.listen_tls", "feedback.listen", "web.listen"):
            self.sets.append(f"{key}=127.0.0.1:{free_port()}")

    def findings(self, *settings: str, status: int = 0) -> list[dict[str, Any]]:
        sets = [word for one in (*self.sets, *settings) for word in ("--set", one)]
        found: list[dict[str, Any]] = self.shell.json(*sets, "doctor", status=status)
        return found

    def ill(self, *settings: str, status: int = 1) -> str:
        """What is not well, as text."""
        return "\n".join(
            f"{one['level']} {one['check']}: {one['text']}"
            for one in self.findings(*settings, status=status)
            if one["level"] != "ok" and one["check"] not in {"disk", "permissions"}
        )

    def sql(self, *statements: str) -> None:
        for statement in statements:
            self.server.execute(statement, self.database)

    def test_all_is_well(self) -> None:
        found = {one["check"] for one in self.findings()}
        self.assertLessEqual({"database", "store", "secret", "queue", "leases", "clock"}, found)
        self.assertNotIn("problem", self.ill(status=0))

    def test_a_database_that_cannot_be_reached_or_is_empty(self) -> None:
        self.assertIn(
            "problem store: It could not be checked: The database cannot be used now",
            self.ill("store.url=postgresql://nobody@127.0.0.1:1/nothing"),
        )
        empty = self.server.database()
        self.addCleanup(self.server.drop, empty)
        self.assertIn("There is no store.", self.ill(f"store.url={self.server.url(empty)}"))

    def test_versions_rights_and_settings(self) -> None:
        for statements, undo, text in (
            (("UPDATE alembic_version SET version_num = '0001'",),
             (f"UPDATE alembic_version SET version_num = '{self.version()}'",), "needs"),
            (("UPDATE alembic_version SET version_num = '9999'",),
             (f"UPDATE alembic_version SET version_num = '{self.version()}'",), "newer"),
            ((f"ALTER DATABASE {self.database} SET default_transaction_read_only = on",),
             ("SET default_transaction_read_only = off",
              f"ALTER DATABASE {self.database} RESET default_transaction_read_only"),
             "It takes no writes"),
        ):  # fmt: skip
            self.sql(*statements)
            self.assertIn(text, self.ill())
            self.undo(*undo)
        self.sql("CREATE ROLE guest LOGIN", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest")
        self.addCleanup(self.server.execute, "DROP ROLE IF EXISTS guest")
        self.addCleanup(self.sql, "DROP OWNED BY guest")
        url = self.server.url(self.database).replace("smtpplus@", "guest@")
        found = self.ill(f"store.url={url}")
        self.assertIn("The user guest lacks", found)
        self.assertIn("INSERT ON", found)

    def test_a_secret_of_another_machine(self) -> None:
        self.open_store()
        self.assertNotIn("secret", self.ill(status=0))
        (self.shell.folder / "secret.key").write_text("ab" * 32)
        self.assertIn("secret.key is not the one of this store", self.ill())

    def test_leases_of_services_that_do_not_run(self) -> None:
        store = self.open_store()
        run(_accept(store))
        self.sql(
            "INSERT INTO node (number, name, process, started_at, seen_at, lease_until)"
            " VALUES (7, 'mail/dead', 1, 0, 0, 1), (8, 'mail/alive', 1, 0, 0, 1e12)",
            "UPDATE delivery SET lease_node = 7",
        )
        found = self.ill(status=0)
        self.assertIn("1 deliveries are leased to mail/dead, which does not run", found)
        self.assertNotIn("alive", found)

    def test_a_service_that_runs_is_known_by_its_lease(self) -> None:
        config = self.shell.json(*self.words(), "check-config")
        name = f"{config['server']['hostname']}/main"
        self.sql(
            "INSERT INTO node (number, name, process, started_at, seen_at, lease_until)"
            f" VALUES (0, '{name}', 1, 0, 0, 1e12)"
        )
        self.assertIn("The service runs, but nothing listens", self.ill())

    def test_contents_that_are_gone(self) -> None:
        store = self.open_store()
        run(_accept(store, content=None))
        self.assertIn("The content of 1 queued messages is missing", self.ill())

    # ------------------------------------------------

    def words(self) -> list[str]:
        return [word for one in self.sets for word in ("--set", one)]

    def version(self) -> str:
        query = "SELECT version_num FROM alembic_version"
        return str(self.server.execute(query, self.database)[0][0])

    def undo(self, *statements: str) -> None:
        """In one session."""
        import psycopg

        with psycopg.connect(self.server.url(self.database), autocommit=True) as session:
            for statement in statements:
                session.execute(statement)

    def open_store(self) -> Any:
        from smtpplus.store.store import open_store_blocking

        case = StoreCase()
        case.setUp()
        store = open_store_blocking(
            self.server.url(self.database),
            self.shell.folder,
            clock=case.clock,
            secret=bytes.fromhex((self.shell.folder / "secret.key").read_text()),
        )
        self.addCleanup(lambda: run(store.close()))
        return store


async def _accept(store: Any, **options: Any) -> None:
    await store.queue.accept(accepted(store.ids, at=NOW, **options))
