"""Which campaigns are written, and how often: never with each message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.store.dialects import SqliteDialect
from smtpplus.store.recipient_counts import CampaignRows

MINUTE = 1_795_442_700.0  # the beginning of one


class _Transaction:
    """Remembers the rows; commits at once, or not at all."""

    def __init__(self, *, commits: bool = True) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self._commits = commits

    def many(self, _sql: object, rows: Sequence[tuple[Any, ...]]) -> None:
        self.rows += rows

    def after_commit(self, call: Callable[[], None]) -> None:
        if self._commits:
            call()


class CampaignRowTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.campaigns = CampaignRows(SqliteDialect(Path("reserve")))

    def written(
        self, *messages: tuple[str, str, float], commits: bool = True
    ) -> list[tuple[str, str, float]]:
        """What messages of these keys, names and seconds after `MINUTE` write."""
        transaction: Any = _Transaction(commits=commits)
        rows = [(1, key, 1, name, MINUTE + at) for key, name, at in messages]
        self.campaigns.write(transaction, rows)
        return [(row[1], row[3], row[4] - MINUTE) for row in transaction.rows]

    def test_once_a_minute(self) -> None:
        self.assertEqual(self.written(("year:2026", "2026", 0)), [("year:2026", "2026", 0)])
        for at in range(1, 60):
            self.assertEqual(self.written(("year:2026", "2026", at)), [])
        self.assertEqual(self.written(("year:2026", "2026", 60)), [("year:2026", "2026", 60)])
        self.assertEqual(self.written(("year:2026", "2026", 30)), [])

    def test_the_first_name_at_once_and_no_other(self) -> None:
        self.assertEqual(self.written(("code:inv", "inv", 0)), [("code:inv", "inv", 0)])
        named = ("code:inv", "Invoices", 1)
        self.assertEqual(self.written(named), [named])
        for name in ("inv", "Invoices", "Bills"):
            self.assertEqual(self.written(("code:inv", name, 2)), [])

    def test_messages_that_are_written_together(self) -> None:
        plain, named = ("code:inv", "inv"), ("code:inv", "Invoices")
        for order in ((plain, named), (named, plain)):
            self.campaigns = CampaignRows(SqliteDialect(Path("reserve")))
            found = self.written(*((*one, 5.0) for one in order))
            self.assertEqual(found, [(*named, 5.0)], order)
        found = self.written((*named, 60.0), (*plain, 120.0))
        self.assertEqual(found, [(*named, 120.0)])

    def test_what_was_not_committed_is_written_again(self) -> None:
        row = ("year:2026", "2026", 0.0)
        self.assertEqual(self.written(row, commits=False), [row])
        self.assertEqual(self.written(row), [row])
        self.assertEqual(self.written(row), [])
