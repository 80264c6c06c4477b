"""Recipients, suppressions, campaigns, statistics and explain on the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.config import load
from smtpplus.installation import Installation, open_installation, run
from smtpplus.ports import IQueue
from smtpplus.rules.suppression import Reason, Scope, Suppression
from smtpplus.values.address import Address
from smtpplus.values.envelope import EnvelopeRecipient
from smtpplus.values.ids import IdSource
from smtpplus.values.message import Accepted, DeliveryState, Settlement
from smtpplus.values.options import Options
from tests.cli.shell import Shell
from tests.folders import folder_of
from tests.store.samples import NOW, accepted, delivery_of, settlement

_ANNA, _MAX = Address("anna", "example.net"), Address("max", "example.net")


class _Mailed(SynchronousTestCase):
    """An installation that has sent two messages: to Anna and Max, and to Max alone."""

    def setUp(self) -> None:
        self.shell = Shell(self, folder_of(self))
        self.json, self.refused = self.shell.json, self.shell.refused
        self.user = self.shell.facts["username"]
        self.messages: list[Accepted] = []
        with open_installation(load(Path(self.shell.facts["config"]))) as opened:
            ids = IdSource(300)
            self.messages = [
                self._sent(opened, ids, "code:orders", "Orders", _ANNA, _MAX),
                self._sent(opened, ids, "code:news", "News", _MAX),
            ]

    def _sent(
        self,
        opened: Installation,
        ids: IdSource,
        key: str,
        name: str,
        *to: Address,
        subject: str = "hello",
    ) -> Accepted:
        [user] = run(opened.accounts.users(None))
        item = accepted(ids, *map(EnvelopeRecipient, to), user_id=user.id)
        message = replace(
            item.message,
            account_id=user.account_id,
            list_id=user.list_id,
            campaign=key,
            campaign_name=name,
            subject=subject,
            options=Options(track_opens=True, metadata={"order": "7"}, unknown=("X-Odd",)),
        )
        named = tuple(replace(one, name="Some Body", fields={"n": "1"}) for one in item.deliveries)
        item = replace(item, message=message, deliveries=named)
        run(_keep(opened.queue, item))
        states = (DeliveryState.DELIVERED, DeliveryState.BOUNCED)
        ended = [
            settlement(delivery_of(item, place), states[place % 2]) for place in range(len(to))
        ]
        run(_settle(opened.queue, ended))
        return item


async def _keep(queue: IQueue, item: Accepted) -> None:
    await queue.accept(item)


async def _settle(queue: IQueue, items: list[Settlement]) -> None:
    await queue.settle(items)


class LeftAloneTests(_Mailed):
    def test_what_was_left_alone_is_shown_with_its_attempt(self) -> None:
        item = accepted(IdSource(301), EnvelopeRecipient(_ANNA))
        ended = settlement(delivery_of(item))
        assert ended.attempt is not None
        noted = replace(ended, attempt=replace(ended.attempt, notes=("it is signed",)))
        with open_installation(load(Path(self.shell.facts["config"]))) as opened:
            run(_keep(opened.queue, item))
            run(_settle(opened.queue, [noted]))
        [shown] = self.json("message", "show", _shown(item))["attempts"]
        self.assertEqual(shown["left_alone"], ["it is signed"])
        out, _ = self.shell.run("message", "show", _shown(item))
        self.assertIn("it is signed", " ".join(out.split()))


class RecipientTests(_Mailed):
    def test_list_and_show(self) -> None:
        rows = self.json("recipient", "list")
        self.assertEqual({row["address"] for row in rows}, {str(_ANNA), str(_MAX)})
        self.assertEqual(len(self.json("recipient", "list", "--search", "max")), 1)
        [found] = self.json("recipient", "show", "MAX@example.net")
        self.assertEqual((found["mails"], found["delivered"], found["bounced"]), (2, 1, 1))
        self.assertEqual((found["name"], found["fields"]), ("Some Body", {"n": "1"}))
        self.assertEqual({one["state"] for one in found["mails_kept"]}, {"delivered", "bounced"})
        text, _ = self.shell.run("recipient", "show", str(_MAX))
        self.assertIn("Suppressions", text)

    def test_export_is_everything_in_json(self) -> None:
        out, _ = self.shell.run("recipient", "export", str(_MAX))
        found = json.loads(out)
        self.assertEqual(found["address"], str(_MAX))
        [one] = found["recipients"]
        self.assertEqual(len(one["mails_kept"]), 2)
        self.assertEqual(
            [(mail["campaign"], mail["name"], mail["fields"]) for mail in one["mails_kept"]],
            [("News", "Some Body", {"n": "1"}), ("Orders", "Some Body", {"n": "1"})],
        )
        # What the message said of all is told where it went to this one alone.
        self.assertEqual([mail["metadata"] for mail in one["mails_kept"]], [{"order": "7"}, {}])
        kinds = {event["event"] for mail in one["mails_kept"] for event in mail["events"]}
        self.assertLessEqual({"delivered", "bounced"}, kinds)

    def test_erase_asks_first_and_leaves_nothing_to_be_read(self) -> None:
        self.assertIn(
            "--yes", self.shell.run("recipient", "erase", str(_MAX), "--json", status=1)[1]
        )
        self.shell.run("recipient", "erase", str(_MAX), status=130)
        self.assertEqual(self.json("recipient", "erase", str(_MAX), "--yes")["erased"], 1)
        self.refused("recipient", "show", str(_MAX))
        self.refused("recipient", "erase", str(_MAX), "--yes")
        for item in self.messages:
            shown = json.dumps(self.json("message", "show", _shown(item)))
            self.assertNotIn("max@", shown.lower())
        self.assertEqual([row["address"] for row in self.json("recipient", "list")], [str(_ANNA)])

    def test_who_was_suppressed_before_any_mail_is_exported_and_erased(self) -> None:
        new = "new@example.org"
        self.refused("recipient", "export", new)
        self.json("suppression", "add", new, "--reason", "asked by phone")
        [one] = json.loads(self.shell.run("recipient", "export", new)[0])["recipients"]
        self.assertEqual((one["mails"], one["first_mail"]), (0, None))
        self.assertEqual([row["detail"] for row in one["suppressions"]], ["asked by phone"])
        self.assertEqual(self.json("recipient", "erase", new, "--yes")["erased"], 1)
        self.refused("recipient", "show", new)
        [row] = [one for one in self.json("suppression", "list") if one["reason"] == "manual"]
        self.assertEqual((row["address"], row["detail"]), ("", ""))

    def test_refusals(self) -> None:
        self.assertIn("no mail address", self.refused("recipient", "show", "nobody"))
        self.assertIn("no recipient", self.refused("recipient", "show", "a@example.org"))
        self.assertIn("no account", self.refused("recipient", "list", "--account", "acme"))
        self.shell.run("account", "add", "acme")
        self.refused("recipient", "show", str(_ANNA), "--account", "acme")


def _shown(item: Accepted) -> str:
    from smtpplus.values.ids import show_id

    return show_id(item.message.id)


class SuppressionTests(_Mailed):
    def setUp(self) -> None:
        super().setUp()
        with open_installation(load(Path(self.shell.facts["config"]))) as opened:
            for row in run(opened.suppressions.listed(None, "", None, 100)):  # the bounce's
                run(opened.suppressions.lift(None, row.address, None, None, NOW, "test"))

    def test_add_says_what_it_changed_and_lift_keeps_the_record(self) -> None:
        out, _ = self.shell.run("suppression", "add", str(_ANNA), "--reason", "asked")
        self.assertIn("is not mailed any more by all lists", out)
        again = self.json("suppression", "add", str(_ANNA), "--reason", "asked")
        self.assertFalse(again["changed"])
        [row] = self.json("suppression", "list")
        self.assertEqual(
            (row["reason"], row["scope"], row["state"]), ("manual", "account", "holds")
        )
        self.assertEqual(self.json("suppression", "lift", "ANNA@example.net")["lifted"], 1)
        self.assertEqual(self.json("suppression", "list"), [])
        rows = self.json("suppression", "list", "--all", "--search", "anna")
        self.assertEqual([one["lifted_by"] for one in rows], ["command line"])
        self.assertIn("Nothing stands", self.refused("suppression", "lift", str(_ANNA)))

    def test_P7_an_operators_bypass(self) -> None:
        asked = ("explain", "--user", self.user, "--to", str(_MAX))
        with open_installation(load(Path(self.shell.facts["config"]))) as opened:
            [user] = run(opened.accounts.users(None))
            hard = Suppression(Scope.ACCOUNT, Reason.HARD_BOUNCE, NOW)
            run(opened.suppressions.add(user.account_id, str(_MAX), hard, ""))
        found = self.json(*asked)["recipient"]
        self.assertEqual((found["mailed"], found["bypass"]), (False, None))
        out, _ = self.shell.run("suppression", "bypass", str(_MAX), "--until", "30d")
        self.assertIn(f"{_MAX} is mailed by all lists of the account, whatever stands", out)
        brief = self.json("suppression", "bypass", str(_MAX), "--until", "1d")
        self.assertFalse(brief["changed"])
        found = self.json(*asked)["recipient"]
        self.assertTrue(found["mailed"])
        self.assertIn("by an operator since", found["bypass"])
        self.assertIn("beside it stands hard bounce", found["bypass"])
        [row] = self.json("suppression", "list", "--reason", "bypass")
        self.assertEqual((row["state"], row["by"]), ("holds", "command line"))
        self.assertIsNotNone(row["until"])
        [shown] = self.json("recipient", "show", str(_MAX))
        self.assertIn("bypass", [one["reason"] for one in shown["suppressions"]])
        self.json("suppression", "lift", str(_MAX), "--reason", "bypass")
        self.assertFalse(self.json(*asked)["recipient"]["mailed"])

    def test_for_a_list_and_until(self) -> None:
        made = self.json("suppression", "add", str(_ANNA), "--list", "default", "--until", "30d")
        self.assertEqual(made["scope"], "default")
        self.assertIsNotNone(made["until"])
        self.assertEqual(len(self.json("suppression", "list", "--list", "default")), 1)
        self.assertEqual(self.json("suppression", "list", "--reason", "complaint"), [])
        self.refused("suppression", "lift", str(_ANNA), "--reason", "complaint")
        self.json("suppression", "lift", str(_ANNA), "--list", "default", "--reason", "manual")

    def test_refusals(self) -> None:
        self.assertIn(
            "past", self.refused("suppression", "add", str(_ANNA), "--until", "2020-01-01")
        )
        self.assertIn("2027", self.refused("suppression", "add", str(_ANNA), "--until", "soon"))
        self.refused("suppression", "add", "nobody")
        self.refused("suppression", "add", str(_ANNA), "--list", "nothing")
        self.shell.run("suppression", "list", "--reason", "weather", status=2)
        self.shell.run("account", "add", "acme")
        self.assertIn("--account", self.refused("suppression", "add", str(_ANNA)))
        made = self.json("suppression", "add", str(_ANNA), "--account", "acme")
        self.assertEqual(made["state"], "holds")
        self.assertEqual(self.json("suppression", "list", "--account", "trial"), [])


class CampaignTests(_Mailed):
    def test_list_show_rename_merge(self) -> None:
        rows = {row["key"]: row for row in self.json("campaign", "list")}
        self.assertEqual(set(rows), {"code:orders", "code:news"})
        orders = rows["code:orders"]
        self.assertEqual((orders["accepted"], orders["delivered"], orders["bounced"]), (2, 1, 1))
        self.assertEqual(self.json("campaign", "show", "orders")["links"], [])
        renamed = self.json("campaign", "rename", "code:orders", "All orders")
        self.assertEqual(renamed["name"], "All orders")
        merged = self.json("campaign", "merge", "News", "All orders")
        self.assertEqual((merged["key"], merged["accepted"]), ("code:orders", 3))
        self.assertEqual(self.json("campaign", "show", "All orders")["merged"], ["code:news"])
        self.assertEqual([row["key"] for row in self.json("campaign", "list")], ["code:orders"])
        self.json("campaign", "merge", "code:news")
        self.assertEqual(len(self.json("campaign", "list")), 2)

    def test_P6_what_was_learnt_from_subjects_is_hinted_at(self) -> None:
        with open_installation(load(Path(self.shell.facts["config"]))) as opened:
            ids = IdSource(301)
            for name in ("Ann", "Bo", "Cy", "Di", "Ed", "Flo", "Gus", "Hal"):
                subject = f"{name} commented on Roadmap"
                key = f"subject:{subject}"
                self._sent(opened, ids, key, subject, _MAX, subject=subject)
            self._sent(opened, ids, "month:2026-05", "2026-05", _MAX)
        [found] = self.json("list", "show", "default")["subjects"]
        self.assertEqual(found["key"], "* commented on roadmap")
        self.assertEqual((found["subjects"], found["messages"]), (8, 8))
        self.assertIn("Subjects that belong together", self.shell.run("list", "show", "default")[0])
        hints = {row["key"]: row["hint"] for row in self.json("campaign", "list")}
        self.assertEqual(hints["subject:Ann commented on Roadmap"], found["hint"])
        self.assertEqual(hints["month:2026-05"], found["hint"])
        self.assertEqual(hints["code:orders"], "")
        note = self.shell.run("campaign", "list")[1]
        self.assertEqual(note, f"List trial/default: {found['hint']}\n")

    def test_W9_campaigns_of_one_name_are_told_apart_by_the_account(self) -> None:
        self.shell.run("account", "add", "acme")
        self.shell.run("list", "add", "acme", "default")
        with open_installation(load(Path(self.shell.facts["config"]))) as opened:
            [mail_list] = [one for one in run(opened.accounts.lists(None)) if one.account_id != 1]
            item = accepted(IdSource(301))
            message = replace(
                item.message,
                account_id=mail_list.account_id,
                list_id=mail_list.id,
                campaign="code:orders",
            )
            run(_keep(opened.queue, replace(item, message=message)))
        told = self.refused("campaign", "show", "code:orders")
        self.assertIn("trial/default (code:orders)", told)
        self.assertIn("acme/default (code:orders)", told)
        [row] = self.json("campaign", "list", "--account", "acme")
        self.assertEqual((row["account"], row["key"]), ("acme", "code:orders"))
        found = self.json("campaign", "show", "code:orders", "--list", "acme/default")
        self.assertEqual((found["account"], found["accepted"]), ("acme", 1))

    def test_refusals(self) -> None:
        self.assertIn("no campaign", self.refused("campaign", "show", "nothing"))
        self.refused("campaign", "merge", "orders", "orders")
        self.refused("campaign", "rename", "orders", " ")
        self.refused("campaign", "show", "orders", "--list", "nothing")


class StatsTests(_Mailed):
    def test_by_every_group(self) -> None:
        asked = ("--since", "2026-01-01", "--until", "2027-01-01")
        for by, names in (
            ("campaign", {"Orders", "News"}),
            ("user", {self.user}),
            ("list", {"trial/default"}),
            ("day", {"2026-05-28"}),
        ):
            rows = self.json("stats", "--by", by, *asked)
            self.assertEqual({row[by] for row in rows}, names)
            self.assertEqual(sum(row["accepted"] for row in rows), 3)
            self.assertEqual(sum(row["bounced"] for row in rows), 1)
        rows = self.json("stats", "--by", "provider", *asked)
        self.assertEqual(sum(row["delivered"] for row in rows), 2)
        self.assertEqual({(row["accepted"], row["messages"]) for row in rows}, {(None, None)})
        head = self.shell.run("stats", "--by", "provider", *asked)[0].splitlines()[0].split()
        self.assertEqual(head[:2], ["provider", "delivered"])
        self.assertEqual(self.json("stats", "--since", "2027-01-01", "--until", "2027-02-01"), [])
        text, _ = self.shell.run("stats", "--by", "campaign", *asked)
        self.assertIn("Orders", text)

    def test_refusals(self) -> None:
        self.assertIn("no time", self.refused("stats", "--since", "yesterday"))
        self.refused("stats", "--since", "2027-01-01", "--until", "2026-01-01")


class MessageOptionTests(_Mailed):
    def test_P3_who_decided(self) -> None:
        found = self.json("message", "show", _shown(self.messages[0]))
        self.assertEqual(found["options_as_of"], "As SMTP user and list are set now.")
        self.shell.run("list", "set", "default", "footer", "on")
        self.shell.run("user", "set", self.user, "priority", "2")
        found = self.json("message", "show", _shown(self.messages[0]))
        rows = {row["option"]: (row["value"], row["decided_by"]) for row in found["options"]}
        self.assertEqual(rows["track_opens"], ("on", "message"))
        self.assertEqual(rows["footer"], ("on", "list"))
        self.assertEqual(rows["priority"], ("2", "SMTP user"))
        self.assertEqual(rows["header"], ("off", "default"))
        self.assertEqual(rows["X-Odd"], ("not known here", "message"))
        self.assertEqual(found["message"]["campaign"], "Orders")
        for what in ("SMTP user", "list"):
            self.assertIn(f"the {what} was changed since (", found["options_as_of"])
        text, _ = self.shell.run("message", "show", _shown(self.messages[0]))
        self.assertIn(f"\n{found['options_as_of']}\n", text)

    def test_a_withheld_recipient_says_why(self) -> None:
        with open_installation(load(Path(self.shell.facts["config"]))) as opened:
            item = self.messages[0]
            ids = IdSource(301)
            new = accepted(ids, EnvelopeRecipient(_ANNA))
            message = replace(
                new.message,
                account_id=item.message.account_id,
                list_id=item.message.list_id,
                user_id=item.message.user_id,
            )
            held = (replace(new.deliveries[0], withheld="suppressed since 2024"),)
            new = replace(new, message=message, deliveries=held)
            run(_keep(opened.queue, new))
        [row] = self.json("message", "show", _shown(new))["deliveries"]
        self.assertEqual((row["state"], row["reply"]), ("cancelled", "suppressed since 2024"))

    def test_list_show_says_where_a_setting_comes_from(self) -> None:
        self.shell.run("list", "set", "default", "footer", "on")
        found = self.json("list", "show", "default")
        self.assertEqual(found["set"], {"footer": True})
        self.assertTrue(found["settings"]["footer"])
        self.assertIn("notices", found["kept_only"])
        text, _ = self.shell.run("list", "show", "default")
        self.assertIn("acts", text)


class ExplainTests(_Mailed):
    def explain(self, *more: str) -> Any:
        return self.json("explain", "--user", self.user, "--to", "new@example.org", *more)

    def test_what_would_happen(self) -> None:
        found = self.explain("--from", "shop@example.com")
        self.assertEqual(found["verdict"], "accepted and delivered to the sandbox")
        self.assertEqual(found["sender"]["allowed"], True)
        self.assertEqual(found["campaign"]["policy"], "month")
        self.assertEqual(found["recipient"]["mails"], 0)
        self.assertIn("footer", {row["option"] for row in found["options"]})
        text, _ = self.shell.run("explain", "--user", self.user, "--to", "new@example.org")
        self.assertIn("Campaign", text)

    def test_people_read_what_they_would_type(self) -> None:
        self.shell.run("user", "set", self.user, "duplicates", "10m")
        out, _ = self.shell.run("explain", "--user", self.user, "--to", "a@example.net")
        self.assertRegex(out, r"(?m)^duplicates +10m$")
        self.assertRegex(out, r"(?m)^limit_hour +none$")

    def test_what_stands_in_the_way(self) -> None:
        self.assertIn("refused", self.explain("--from", "a@elsewhere.example")["verdict"])
        self.shell.run("suppression", "add", "new@example.org", "--reason", "asked")
        self.assertIn("accepted and not mailed", self.explain()["verdict"])
        self.shell.run("list", "set", "default", "suppressed_reply", "refuse")
        self.assertIn("refused: 550", self.explain()["verdict"])
        self.shell.run("user", "set", self.user, "status", "off")
        self.assertIn("may not send", self.explain()["verdict"])

    def test_the_route(self) -> None:
        routed = ("--set", 'relay.routes={"example.org" = "127.0.0.1:2526"}')
        out, _ = self.shell.run(
            *routed, "explain", "--user", self.user, "--to", "a@example.org", "--json"
        )
        found = json.loads(out)
        self.assertEqual(found["route"]["hosts"], ["127.0.0.1 [127.0.0.1]:2526"])
        deaf = ("--set", 'dns.nameservers=["127.0.0.1:1"]', "--set", "dns.timeout=300ms")
        real = ("--set", "relay.deliver=internet", *deaf)
        out, _ = self.shell.run(
            *real, "explain", "--user", self.user, "--to", "a@example.org", "--json"
        )
        self.assertIn("not deliverable now", json.loads(out)["verdict"])

    def test_refusals(self) -> None:
        self.refused("explain", "--user", "nobody", "--to", "a@example.org")
        self.refused("explain", "--user", self.user, "--to", "nobody")
        self.shell.run("explain", "--user", self.user, status=2)
