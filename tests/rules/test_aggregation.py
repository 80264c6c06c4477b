"""Campaigns: the policies of P6, what beats them, and the time zone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules import list_settings
from smtpplus.rules.aggregation import POLICIES, CampaignFacts, CampaignKey, bucket
from smtpplus.values.learnt_pattern import LearntPattern


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def facts(
    when: str = "2026-11-10T08:00:00+00:00",
    subject: str = "Ticket 123 solved",
    sender: str = "Shop@example.com",
    name: str = "The Shop",
    user: str = "s1_01",
) -> CampaignFacts:
    return CampaignFacts(
        received_at=at(when), subject=subject, sender=sender, sender_name=name, username=user
    )


MESSAGES = (
    facts(),
    facts("2026-11-10T23:59:59+00:00", "Ticket 456 solved"),
    facts("2026-11-11T00:00:00+00:00", "Ticket 123 solved", "shop@example.com"),
    facts("2026-11-16T00:00:00+00:00", "Ticket 123  solved", "it@example.com", "the shop"),
    facts("2026-12-31T12:00:00+00:00", "Your order", "it@example.com", "", "s1_02"),
    facts("2027-01-01T12:00:00+00:00", "Your order", "it@example.com", "", "s1_02"),
)
# The bucket of each of the six messages, by policy: same letter, same bucket.
TABLE = (
    ("day", "aabcde"),
    ("week", "aaabcc"),
    ("month", "aaaabc"),
    ("year", "aaaaab"),
    ("subject", "abaacc"),
    ("dynamic-subject", "aaaabb"),
    ("sender", "aaabbb"),
    ("sender-name", "aaaabb"),
    ("sender-subject", "abacdd"),
    ("user", "aaaabb"),
    ("campaign", "aaaaaa"),
)


def letters(keys: Iterable[str]) -> str:
    seen: dict[str, str] = {}
    return "".join(seen.setdefault(key, chr(ord("a") + len(seen))) for key in keys)


class PolicyTests(SynchronousTestCase):
    def test_P6_each_policy_puts_the_same_messages_together(self) -> None:
        for policy, expected in TABLE:
            found = [bucket(policy, one).key for one in MESSAGES]
            self.assertEqual(letters(found), expected, (policy, found))

    def test_P6_there_is_a_policy_for_each_word_of_the_setting(self) -> None:
        setting = list_settings.SETTINGS["aggregation"]
        for policy in POLICIES:
            self.assertEqual(setting.read(policy), policy)
        self.assertEqual({policy for policy, _ in TABLE}, set(POLICIES))
        for policy in POLICIES:
            self.assertIn(policy, setting.expected)
        self.assertRaises(KeyError, bucket, "hourly", facts())

    def test_P6_keys_and_names(self) -> None:
        table = (
            ("day", "day:2026-11-10", "2026-11-10"),
            ("week", "week:2026-W46", "2026-W46"),
            ("month", "month:2026-11", "2026-11"),
            ("year", "year:2026", "2026"),
            ("subject", "subject:Ticket 123 solved", "Ticket 123 solved"),
            ("dynamic-subject", "dynamic-subject:ticket * solved", "Ticket {number} solved"),
            ("sender", "sender:shop@example.com", "Shop@example.com"),
            ("sender-name", "sender-name:the shop", "The Shop"),
            ("user", "user:s1_01", "s1_01"),
            ("campaign", "campaign:none", "(no campaign code)"),
        )
        for policy, key, name in table:
            self.assertEqual(bucket(policy, facts()), CampaignKey(key, name))

    def test_P6_code_tag_and_users_code_beat_the_policy_in_this_order(self) -> None:
        table = (
            ({"campaign_code": " w1 ", "tags": ("t",), "default_code": "d"}, "code:w1", "w1"),
            ({"tags": ("t", "u"), "default_code": "d"}, "tag:t", "t"),
            ({"default_code": "d"}, "code:d", "d"),
            ({"campaign_code": "w1", "campaign_name": "Welcome"}, "code:w1", "Welcome"),
            ({"default_code": "usual", "campaign_name": "Welcome"}, "code:usual", "Welcome"),
            ({"campaign_name": "Welcome"}, "month:2026-11", "2026-11"),  # of other mail, too
            ({"campaign_code": " \n", "tags": ("",)}, "month:2026-11", "2026-11"),
        )
        for more, key, name in table:
            one = CampaignFacts(received_at=at("2026-11-10T08:00:00+00:00"), **more)
            self.assertEqual(bucket("month", one), CampaignKey(key, name), more)

    def test_P6_days_and_weeks_begin_in_the_lists_time_zone(self) -> None:
        when = "2027-01-03T23:30:00+00:00"  # a Sunday in London, Monday in Rome
        table = (
            (UTC, "2027-01-03", "2026-W53"),
            (ZoneInfo("Europe/Rome"), "2027-01-04", "2027-W01"),
            (ZoneInfo("America/New_York"), "2027-01-03", "2026-W53"),
            (timezone(timedelta(hours=14)), "2027-01-04", "2027-W01"),
        )
        for zone, day, week in table:
            self.assertEqual(bucket("day", facts(when), zone).name, day)
            self.assertEqual(bucket("week", facts(when), zone).name, week)

    def test_without_subject_or_sender(self) -> None:
        empty = CampaignFacts(received_at=0.0)
        names = {policy: bucket(policy, empty).name for policy in POLICIES}
        self.assertEqual(names["subject"], "(no subject)")
        self.assertEqual(names["dynamic-subject"], "(no subject)")
        self.assertEqual(names["sender-name"], "(no sender)")
        self.assertTrue(all(names.values()))

    def test_learnt_patterns_come_before_the_messages_own(self) -> None:
        learnt = (LearntPattern.of_key("* commented on *"),)
        first, second = (
            bucket("dynamic-subject", facts(subject=subject), UTC, learnt)
            for subject in ("Anna Bianchi commented on Roadmap", "Ugo commented on Budget draft")
        )
        self.assertEqual(first, second)
        self.assertEqual(first.key, "dynamic-subject:* commented on *")
        other = bucket("dynamic-subject", facts(), UTC, learnt)
        self.assertEqual(other.key, "dynamic-subject:ticket * solved")

    def test_names_known_from_the_recipient(self) -> None:
        keys = {
            bucket(
                "dynamic-subject",
                CampaignFacts(
                    received_at=0.0, subject=f"Report of {name} is ready", personal=(name,)
                ),
            ).key
            for name in (
                "Mario Rossi",
                "Anna Bianchi",
                "\u674e \u5c0f\u9f99",
                "Jos\u00e9 P\u00e9rez",
            )
        }
        self.assertEqual(keys, {"dynamic-subject:report of * is ready"})

    @settings(max_examples=300, deadline=None)
    @given(st.text(max_size=600), st.text(max_size=300), st.sampled_from(sorted(POLICIES)))
    def test_any_text_makes_a_short_printable_key(self, text: str, other: str, policy: str) -> None:
        for code in ("", other):
            one = CampaignFacts(
                received_at=1e9, subject=text, sender=other, sender_name=text, username=other,
                campaign_code=code, campaign_name=text,
            )  # fmt: skip
            made = bucket(policy, one)
            self.assertTrue(made.key.isprintable())
            self.assertTrue(0 < len(made.key) <= 120)
            self.assertTrue(0 < len(made.name) <= 200)
            self.assertEqual(made, bucket(policy, one))

    def test_long_subjects_that_differ_late_stay_apart(self) -> None:
        first, second = (bucket("subject", facts(subject="x" * 200 + end)) for end in "ab")
        self.assertNotEqual(first.key, second.key)
