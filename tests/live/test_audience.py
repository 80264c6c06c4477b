"""Recipients, suppressions, campaigns and options seen from the command line, beside a service."""

from __future__ import annotations

import smtplib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.cli.messages import story
from smtpplus.config import load
from smtpplus.installation import open_installation
from smtpplus.values.ids import parse_id
from tests.folders import folder_of
from tests.live.installation import Installation
from tests.live.peers import wait_for

_ANNA = "anna@example.net"
_SECONDS = 2.0  # in which the service notices


class AudienceTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = folder_of(self)
        directory.mkdir(parents=True)
        self.service = Installation(self, directory)
        self.service.start()
        self.cli = self.service.cli

    def submit(self, *head: str, to: str = _ANNA) -> str:
        """A message; its id, or the refusal of the recipient."""
        lines = [
            "From: shop@example.com",
            f"To: {to}",
            "Subject: Order 17",
            *head,
            "",
            "Hello.",
            "",
        ]
        with self.service.client() as client:
            client.mail("shop@example.com")
            code, text = client.rcpt(to)
            if code >= 400:
                return f"{code} {text.decode()}"
            code, text = client.data("\r\n".join(lines).encode())
            if code >= 400:
                raise smtplib.SMTPResponseException(code, text)
            return text.decode().split()[-1]

    def story(self, message: str) -> dict[str, Any]:
        """What `message show` prints, without a program to be started."""
        found = parse_id(message)
        assert found is not None, message
        with open_installation(load(Path(self.service.facts["config"]))) as opened:
            return story(opened, found)

    def fate(self, message: str) -> dict[str, Any]:
        """Its only delivery, settled."""
        rows: list[dict[str, Any]] = []

        def is_settled() -> bool:
            rows[:] = self.story(message)["deliveries"]
            return rows[0]["state"] not in {"queued", "held"}

        wait_for("the delivery", is_settled)
        return rows[0]

    def test_a_suppression_holds_within_two_seconds_and_its_lifting_too(self) -> None:
        self.assertEqual(self.fate(self.submit())["state"], "delivered")
        self.cli("suppression", "add", _ANNA, "--reason", "asked by phone")

        def held() -> bool:
            return str(self.fate(self.submit())["state"]) == "cancelled"

        wait_for("the suppression", held, _SECONDS)
        self.assertIn("asked by phone", self.fate(self.submit())["reply"])
        self.cli("list", "set", "default", "suppressed_reply", "refuse")
        wait_for("the refusal", lambda: self.submit().startswith("550 5.7.1"), _SECONDS)
        asked = ("explain", "--user", self.service.facts["username"], "--to", _ANNA)
        self.assertIn("refused: 550", self.cli(*asked)["verdict"])
        self.cli("suppression", "lift", _ANNA)
        wait_for("the lifting", lambda: not self.submit().startswith("550"), _SECONDS + 1)
        [known] = self.cli("recipient", "show", _ANNA)
        self.assertEqual(known["suppressions"][0]["state"], "lifted")
        self.assertIn("cancelled", {mail["state"] for mail in known["mails_kept"]})

    def test_what_a_message_says_is_told_with_who_decided(self) -> None:
        self.cli("list", "set", "default", "footer", "on")
        self.cli("user", "set", self.service.facts["username"], "priority", "2")

        def rows() -> dict[str, tuple[str, str]]:
            message = self.submit(
                'X-SMTPAPI: {"CampaignCode": "orders", "CampaignName": "Orders", "ViewTracking": true}'
            )
            self.assertEqual(self.fate(message)["state"], "delivered")
            found = self.story(message)["options"]
            return {row["option"]: (row["value"], row["decided_by"]) for row in found}

        wait_for("the settings", lambda: rows()["footer"] == ("on", "list"), _SECONDS + 1)
        found = rows()
        self.assertEqual(found["track_opens"], ("on", "message"))
        self.assertEqual(found["campaign_code"], ("orders", "message"))
        self.assertEqual(found["priority"], ("2", "SMTP user"))
        [campaign] = [one for one in self.cli("campaign", "list") if one["name"] == "Orders"]
        self.assertEqual(campaign["accepted"], campaign["delivered"])
        sums = {row["campaign"]: row for row in self.cli("stats", "--by", "campaign")}
        self.assertEqual(sums["Orders"]["accepted"], campaign["accepted"])

    def test_an_erased_address_is_nowhere(self) -> None:
        self.fate(self.submit(to="zoe@example.net"))
        exported = self.cli("recipient", "export", "zoe@example.net")
        self.assertEqual(len(exported["recipients"][0]["mails_kept"]), 1)
        self.assertEqual(self.cli("recipient", "erase", "zoe@example.net", "--yes")["erased"], 1)
        for command in (("recipient", "list"), ("suppression", "list", "--all")):
            self.assertNotIn("zoe", str(self.cli(*command)))
        self.assertEqual(self.cli("queue"), {"queued": 0, "held": 0})

    def test_D16_no_table_tells_of_an_erased_person(self) -> None:
        self.cli("list", "set", "default", "aggregation", "subject")
        head = ("X-SMTPPlus-Campaign: of-zoe@example.net", 'X-SMTPPlus-Metadata-Who: "Zoe"')
        for more in (head, ()):
            self.fate(self.submit(*more, to="zoe@example.net"))

        def rows() -> list[str]:
            (path,) = self.service.directory.rglob("smtpplus.sqlite3")
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as store:
                tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                return [
                    f"{table}: {row}"
                    for (table,) in tables.fetchall()
                    for row in store.execute(f'SELECT * FROM "{table}"')
                    if "zoe" in str(row).lower()
                ]

        self.assertGreater(len(rows()), 10)
        self.cli("recipient", "erase", "zoe@example.net", "--yes")
        self.assertEqual(rows(), [])
