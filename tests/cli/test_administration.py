from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.config import load
from smtpplus.installation import open_installation, run
from smtpplus.ports import IQueue
from smtpplus.smtp.scram import check_password
from smtpplus.values.address import Address
from smtpplus.values.envelope import EnvelopeRecipient
from smtpplus.values.ids import IdSource, show_id
from smtpplus.values.message import Accepted, Settlement
from smtpplus.web.sessions import check_password as check_persons_password
from tests.cli.shell import Shell
from tests.folders import folder_of
from tests.store.samples import NOW, accepted, delivery_of, settlement


class _Installed(SynchronousTestCase):
    def setUp(self) -> None:
        self.shell = Shell(self, folder_of(self))
        self.user = self.shell.facts["username"]


class AccountAndListTests(_Installed):
    def test_links_that_recipients_cannot_follow_are_told(self) -> None:
        leaves = ("--set", "relay.deliver=internet")
        for options, value, is_told in (
            (leaves, "on", True),
            (leaves, "off", False),
            ((), "on", False),
            ((*leaves, "--set", "web.tracking_url=https://mail.example.org"), "on", False),
        ):
            _, said = self.shell.run(*options, "list", "set", "default", "track_opens", value)
            self.assertEqual("would lead to 127.0.0.1" in said, is_told, (options, value))
            _, said = self.shell.run(*options, "user", "set", self.user, "track_opens", value)
            self.assertEqual("would lead to 127.0.0.1" in said, is_told, (options, value))

    def test_add_list_show_set(self) -> None:
        self.shell.run("account", "add", "acme")
        self.shell.run("list", "add", "acme", "shop", "--stream", "subscribed")
        self.assertEqual(
            [a["account"] for a in self.shell.json("account", "list")], ["acme", "trial"]
        )
        found = self.shell.json("list", "show", "acme/shop")
        self.assertEqual(
            (found["stream"], found["settings"]["aggregation"]), ("subscribed", "month")
        )
        self.shell.run("list", "set", "shop", "aggregation", "week")
        self.assertEqual(self.shell.json("list", "show", "shop")["settings"]["aggregation"], "week")
        self.shell.run("list", "set", "shop", "aggregation", "")
        self.assertEqual(
            self.shell.json("list", "show", "shop")["settings"]["aggregation"], "month"
        )

    def test_refusals_say_what_to_do(self) -> None:
        self.assertIn("acme", self.shell.refused("list", "add", "acme", "shop"))
        self.assertIn("expected", self.shell.refused("list", "set", "default", "footer", "maybe"))
        self.assertIn("expected one of", self.shell.refused("list", "set", "default", "foot", "on"))
        for key, allowed in (
            ("aggregation", "one of day, week, month, year, subject"),
            ("suppressed_reply", "accept or refuse"),
            ("footer", "on or off"),
        ):
            said = self.shell.refused("list", "set", "default", key, "x")
            self.assertIn(f"{key}: expected {allowed}", said)
        self.shell.refused("account", "add", "trial")
        self.shell.run("list", "add", "trial", "x", "--stream", "bulk", status=2)

    def test_errors_are_json_too(self) -> None:
        _, err = self.shell.run("list", "show", "nothing", "--json", status=1)
        self.assertIn("nothing", json.loads(err)["error"])


class UserTests(_Installed):
    def test_a_new_user_has_a_secret_of_its_own_shown_once(self) -> None:
        made = self.shell.json("user", "add", "default", "--sender", "a@example.com")
        self.assertEqual(list(made), ["username", "password", "list"])
        shown = self.shell.json("user", "show", made["username"])
        self.assertNotIn("password", shown)
        self.assertEqual((shown["senders"], shown["domains"]), (["a@example.com"], []))
        self.assertTrue(self._fits(made["username"], made["password"]))
        again = self.shell.json("user", "secret", made["username"])
        self.assertFalse(self._fits(made["username"], made["password"]))
        self.assertTrue(self._fits(made["username"], again["password"]))

    def test_settings(self) -> None:
        for key, value, shown in (
            ("limit_hour", "10", 10),
            ("networks", "192.0.2.7", ["192.0.2.7/32"]),
            ("status", "blocked", "blocked by operator"),
            ("status", "active", "active"),
            ("duplicates", "10m", 600.0),
        ):
            self.assertEqual(self.shell.json("user", "set", self.user, key, value)[key], shown)
        own: tuple[tuple[str, str, Any], ...] = (
            ("track_opens", "on", True),
            ("footer_text", "Shop Ltd", "Shop Ltd"),
            ("track_opens", "as the list", None),
        )
        for key, value, kept in own:
            self.assertEqual(self.shell.json("user", "set", self.user, key, value)[key], kept)
        found = self.shell.json("user", "show", self.user)
        self.assertEqual((found["footer_text"], "track_opens" in found), ("Shop Ltd", False))
        self.shell.refused("user", "set", self.user, "privacy", "on")
        self.shell.refused("user", "set", self.user, "networks", "0.0.0.0/0")
        self.shell.refused("user", "set", "nobody", "status", "off")
        self.shell.refused("user", "show", "nobody")
        self.shell.refused("user", "add", "nolist")

    def test_people_read_what_they_would_type(self) -> None:
        for key, value, written in (
            ("limit_hour", "none", "none"),
            ("domains", "example.com, Example.net", "example.com, example.net"),
            ("senders", "", "none"),
            ("duplicates", "10 m", "10m"),
            ("status", "off", "off"),
            ("campaign", "none", "none"),
        ):
            out, _ = self.shell.run("user", "set", self.user, key, value)
            self.assertEqual(out, f"{self.user}: {key} = {written}\n")
            out, _ = self.shell.run("user", "show", self.user)
            self.assertRegex(out, rf"(?m)^{key} +{written}$")
        for key, value, written in (
            ("footer", "yes", "on"),
            ("notices", "a@example.com,b@example.com", "a@example.com, b@example.com"),
            ("footer_text", "a\x1b[1m", "a\\x1b[1m"),
            ("footer_text", "", "-"),
        ):
            out, _ = self.shell.run("list", "set", "default", key, value)
            self.assertEqual(out, f"default: {key} = {written}\n")

    def test_a_domain_that_is_not_there_yet_is_noted(self) -> None:
        _, err = self.shell.run("user", "add", "default", "--domain", "example.org")
        self.assertIn("no verified sender domain example.org", err)

    def _fits(self, username: str, password: str) -> bool:
        with open_installation(load(Path(self.shell.facts["config"]))) as opened:
            user = run(opened.accounts.user_by_name(username))
        assert user is not None
        return check_password(user.verifier, password)


class PersonTests(_Installed):
    def test_a_link_or_a_password(self) -> None:
        made = self.shell.json("person", "add", "a@example.com", "--role", "owner")
        self.assertIn("/sign-in/", made["sign_in"])
        other = self.shell.json("person", "sign-in", "A@example.com")
        self.assertNotEqual(other["sign_in"], made["sign_in"])
        self.shell.typed = "correct horse battery\n"
        self.shell.run("person", "password", "a@example.com")
        with open_installation(load(Path(self.shell.facts["config"]))) as opened:
            found = run(opened.people.password_hash("a@example.com"))
        assert found is not None
        self.assertTrue(check_persons_password("correct horse battery", found[1]))

    def test_refusals(self) -> None:
        self.shell.refused("person", "add", "nobody", "--role", "owner")
        self.shell.refused("person", "sign-in", "b@example.com")
        self.shell.refused("person", "add", "b@example.com", "--role", "owner", "--account", "x")
        self.shell.run("person", "add", "b@example.com", "--role", "root", status=2)
        self.shell.typed = "short\n"
        self.assertIn("12", self.shell.refused("person", "password", "operator@example.com"))
        self.shell.run("account", "add", "acme")
        error = self.shell.refused("person", "add", "b@example.com", "--role", "analyst")
        self.assertIn("--account", error)


class DomainTests(_Installed):
    NAME: ClassVar[str] = "xn--bcher-kva.example"

    def test_records_are_lines_of_a_zone_file(self) -> None:
        made = self.shell.json("domain", "add", "trial", "Bücher.example.")
        self.assertEqual((made["domain"], made["verified"]), (self.NAME, None))
        out, err = self.shell.run("domain", "records", self.NAME)
        lines = [line for line in out.splitlines() if line and not line.startswith(";")]
        for line, record in zip(lines, made["records"], strict=True):
            name, _, kind, *strings = shlex.split(line)
            self.assertEqual((name, kind), (record["name"] + ".", "TXT"))
            self.assertEqual("".join(strings), record["value"])
            self.assertLessEqual(max(map(len, strings)), 255)
        self.assertIn("not verified", err)

    def test_the_operators_word(self) -> None:
        self.shell.run("domain", "add", "trial", "example.org")
        self.assertTrue(self.shell.json("domain", "verify", "example.org", "--force")["verified"])

    def test_O2_dns_trouble_is_not_a_missing_record(self) -> None:
        self.shell.run("domain", "add", "trial", "example.org")
        deaf = ("--set", 'dns.nameservers=["127.0.0.1:1"]', "--set", "dns.timeout=300ms")
        found = json.loads(
            self.shell.run(*deaf, "domain", "check", "example.org", "--json", status=1)[0]
        )
        self.assertEqual({record["state"] for record in found["records"]}, {"no answer"})
        self.assertFalse(found["ok"])

    def test_DK4_rotation_with_two_selectors(self) -> None:
        [first] = self.shell.json("domain", "key", "example.com", "list")
        keys = self.shell.json("domain", "key", "example.com", "add")
        states = {key["selector"]: key["state"] for key in keys}
        [second] = set(states) - {first["selector"]}
        self.assertEqual(states, {first["selector"]: "active", second: "next"})
        self.assertTrue(all(key["value"].startswith("v=DKIM1; k=rsa; p=") for key in keys))
        deaf = ("--set", 'dns.nameservers=["127.0.0.1:1"]', "--set", "dns.timeout=300ms")
        _, err = self.shell.run(*deaf, "domain", "key", "example.com", "activate", status=1)
        self.assertIn("--force", err)
        self.shell.run("domain", "key", "example.com", "activate", "--force")
        keys = self.shell.json("domain", "key", "example.com", "list")
        states = {key["selector"]: key["state"] for key in keys}
        self.assertEqual(states, {first["selector"]: "retired", second: "active"})
        self.assertIn(
            "waiting: none", self.shell.refused("domain", "key", "example.com", "activate")
        )

    def test_refusals(self) -> None:
        for name in ("exa mple", "[192.0.2.1]", "", "a..b"):
            self.shell.refused("domain", "add", "trial", name)
        self.shell.refused("domain", "add", "nobody", "example.org")
        self.shell.refused("domain", "add", "trial", "EXAMPLE.com")
        self.shell.refused("domain", "records", "example.org")
        self.shell.refused("domain", "key", "example.com", "add", "two.words here")


class ReadingTests(_Installed):
    def test_an_empty_installation(self) -> None:
        self.assertEqual(self.shell.json("queue"), {"queued": 0, "held": 0})
        self.assertEqual(self.shell.json("queue", "list"), [])
        for by in ("day", "user", "list"):
            self.assertEqual(self.shell.json("stats", "--by", by), [])
        self.assertIn("no message", self.shell.refused("message", "show", "0" * 13))
        self.assertIn("13", self.shell.refused("message", "show", "12"))
        self.shell.refused("queue", "show", "0" * 13)
        self.shell.run("stats", "--by", "weather", status=2)

    def test_send_test_says_that_nothing_runs(self) -> None:
        error = self.shell.refused("--set", "submission.listen=127.0.0.1:1", "send-test")
        self.assertIn("Is `twistd smtpplus` running?", error)
        [temporary] = [u for u in self.shell.json("user", "list") if u["username"] != self.user]
        self.assertEqual(temporary["status"], "off")

    def test_send_test_takes_any_subject_on_one_line(self) -> None:
        nowhere = ("--set", "submission.listen=127.0.0.1:1", "send-test", "--subject")
        for subject in (
            "10\u00a0\u20ac",
            "\u3000\u304a\u77e5\u3089\u305b",
            "\U0001f469\u200d\U0001f680",
            "",
        ):
            self.assertIn("Nothing answers", self.shell.refused(*nowhere, subject))

    def test_send_test_by_a_user_needs_no_list(self) -> None:
        self.shell.run("list", "add", "trial", "other")
        self.shell.run("account", "add", "acme")
        self.shell.run("list", "add", "acme", "default")
        nowhere = ("--set", "submission.listen=127.0.0.1:1", "send-test")
        self.assertIn("--list", self.shell.refused(*nowhere))
        user = ("--user", self.user, "--password", "x")
        self.assertIn("Nothing answers", self.shell.refused(*nowhere, *user))
        told = self.shell.refused(*nowhere, *user, "--list", "other")
        self.assertIn(f"{self.user} is a user of another list than other.", told)


class QueueChangeTests(_Installed):
    def setUp(self) -> None:
        super().setUp()
        with open_installation(load(Path(self.shell.facts["config"]))) as opened:
            users = run(opened.accounts.users(None))
            ids = IdSource(300)
            for to in ("example.net", "example.net", "example.org"):
                recipient = EnvelopeRecipient(Address("b", to))
                item = accepted(ids, recipient, due_at=NOW + 1e9, user_id=users[0].id)
                run(_accept(opened.queue, item))

    def test_hold_release_cancel_flush(self) -> None:
        first, *_ = self.shell.json("queue", "list")
        change = self.shell.json
        self.assertEqual(
            change("queue", "hold", first["delivery"]), {"change": "hold", "deliveries": 1}
        )
        self.assertEqual(change("queue", "hold", first["message"])["deliveries"], 0)
        self.assertEqual(change("queue"), {"queued": 2, "held": 1})
        for name in ("delivery", "message"):
            [shown] = change("queue", "show", first[name])
            self.assertEqual((shown["delivery"], shown["state"]), (first["delivery"], "held"))
        self.assertEqual(change("queue", "release", first["message"])["deliveries"], 1)
        self.assertEqual(change("queue", "hold", "--domain", "Example.NET.")["deliveries"], 2)
        self.assertEqual(change("queue", "hold", "--user", self.user)["deliveries"], 1)
        self.assertEqual(change("queue", "release", "--all")["deliveries"], 3)
        self.assertEqual(change("queue", "flush", "--all")["deliveries"], 0)
        out, err = self.shell.run("queue", "flush", first["delivery"])
        self.assertEqual(out, "0 deliveries due now.\n")
        self.assertIn("1 delivery scheduled", err)
        self.assertTrue(all(row["scheduled"] for row in change("queue", "list")))
        self.assertEqual(
            change("queue", "flush", "--scheduled", first["delivery"])["deliveries"], 1
        )
        rows = {row["delivery"]: row["scheduled"] for row in change("queue", "list")}
        self.assertEqual(sorted(rows.values()), [False, True, True])
        self.assertFalse(rows[first["delivery"]])
        self.assertIn("--yes", self.shell.run("queue", "cancel", "--all", "--json", status=1)[1])
        out, _ = self.shell.run("queue", "cancel", "--all", "--yes")
        self.assertEqual(out, "Cancelled 3 deliveries.\n")
        self.assertEqual(change("queue"), {"queued": 0, "held": 0})
        self.assertIn("Nothing waits", self.shell.refused("queue", "hold", first["delivery"]))
        shown = change("message", "show", first["message"])
        self.assertEqual(shown["message"]["states"], {"cancelled": 1})
        self.assertEqual(shown["events"][-1]["detail"], {"by": "command line"})

    def test_what_was_delivered_cannot_be_taken_back(self) -> None:
        with open_installation(load(Path(self.shell.facts["config"]))) as opened:
            to = [EnvelopeRecipient(Address(name, "example.net")) for name in ("a", "b")]
            user = run(opened.accounts.users(None))[0]
            item = accepted(IdSource(301), *to, due_at=NOW, user_id=user.id)
            run(_accept(opened.queue, item))
            run(_settle(opened.queue, settlement(delivery_of(item))))
        message, first, second = map(show_id, (item.message.id, *(d.id for d in item.deliveries)))
        out, err = self.shell.run("queue", "cancel", first, "--json", status=1)
        self.assertEqual(json.loads(out)["deliveries"], 0)
        self.assertIn(f"too late to cancel {first}: already delivered (1 delivery).", err)
        self.assertIn(message, self.shell.refused("queue", "show", first))
        out, err = self.shell.run("queue", "cancel", message)
        self.assertEqual(out, "Cancelled 1 delivery.\n")
        self.assertIn("already delivered (1 delivery)", err)
        self.assertEqual(self.shell.json("queue", "cancel", second)["deliveries"], 0)

    def test_refusals(self) -> None:
        for change in ("hold", "release", "cancel", "flush", "show"):
            self.assertIn("no message", self.shell.refused("queue", change, "0" * 13))
        self.assertIn("--all", self.shell.refused("queue", "cancel"))
        self.assertIn("alone", self.shell.refused("queue", "hold", "--all", "--user", self.user))
        self.assertIn("nobody", self.shell.refused("queue", "hold", "--user", "nobody"))
        self.assertIn("13", self.shell.refused("queue", "hold", "12"))
        self.assertIn("ids", self.shell.refused("queue", "flush", "--all", "--scheduled"))
        self.shell.run("queue", "cancel", "--all", status=130)
        self.assertEqual(self.shell.json("queue"), {"queued": 3, "held": 0})


async def _accept(queue: IQueue, item: Accepted) -> None:
    await queue.accept(item)


async def _settle(queue: IQueue, one: Settlement) -> None:
    await queue.settle([one])


class HelpTests(_Installed):
    def test_every_command_has_help_and_json(self) -> None:
        from smtpplus.cli.program import program

        out, _ = self.shell.run("--help")
        context = program.make_context("smtpplus", ["--help", "x"], resilient_parsing=True)
        for name in program.list_commands(context):
            self.assertIn(name, out)
            command = program.get_command(context, name)
            below = getattr(command, "commands", None)
            for words in [(name, each) for each in below] if below else [(name,)]:
                text, _ = self.shell.run(*words, "--help")
                self.assertIn("--json", text, words)
                self.assertIn("Usage: smtpplus", text)
