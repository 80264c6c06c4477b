"""The addresses that play an outcome."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from smtpplus.sandbox.outcomes import OUTCOMES, Deferrals, Part, part_of
from smtpplus.values.address import Address


def address(local: str) -> Address:
    return Address.parse(f"{local}@mail.example")


class OutcomeTests(TestCase):
    def test_bounces_by_code(self) -> None:
        for local, start, words in (
            ("bounce-5.1.1", "550 5.1.1 ", "user unknown"),
            ("BOUNCE-5.1.1", "550 5.1.1 ", "user unknown"),
            ("bounce-5.1.1+order7", "550 5.1.1 ", "user unknown"),
            ("bounce-4.2.2", "452 4.2.2 ", "full"),
            ("bounce-5.2.2", "552 5.2.2 ", "full"),
            ("bounce-5.7.1", "550 5.7.1 ", "policy"),
            ("bounce-5.7.26", "550 5.7.26 ", "authenticated"),
            ("bounce-4.7.28", "451 4.7.28 ", "rate limited"),
            ("bounce-4.2.1", "450 4.2.1 ", "disabled"),
            ("bounce-5.1.10", "556 5.1.10 ", "null MX"),
            ("bounce-5.9.99", "550 5.9.99 ", "sandbox"),
            ("bounce-5.01.01", "550 5.1.1 ", "user unknown"),
        ):
            refusal = part_of(address(local)).refusal
            assert refusal is not None, local
            self.assertTrue(str(refusal).startswith(start), f"{local}: {refusal}")
            self.assertIn(words, refusal.text)
            self.assertFalse(refusal.closes)

    def test_named_parts(self) -> None:
        self.assertEqual(str(part_of(address("full")).refusal)[:9], "452 4.2.2")
        self.assertEqual(part_of(address("slow")), Part(is_slow=True))
        self.assertEqual(part_of(address("Drop")), Part(drops=True))
        self.assertEqual(part_of(address("defer-3")), Part(deferrals=3))

    def test_everything_else_is_accepted(self) -> None:
        for local in ("anna", "bounce", "bounce-", "bounce-2.0.0", "defer-x", "slower", "tls-fail"):
            self.assertEqual(part_of(address(local)), Part(), local)

    def test_deferrals_are_counted_by_message_and_address(self) -> None:
        deferrals = Deferrals()

        def replies(message: str, times: int) -> list[str]:
            found = [deferrals.put_off(address("defer-2"), message, 2) for _ in range(times)]
            return [str(reply)[:9] if reply else "ok" for reply in found]

        self.assertEqual(replies("<a>", 1), ["451 4.7.1"])
        self.assertEqual(replies("<b>", 3), ["451 4.7.1", "451 4.7.1", "ok"])
        self.assertEqual(replies("<a>", 2), ["451 4.7.1", "ok"])
        self.assertEqual(replies("<a>", 1), ["451 4.7.1"])

    def test_memory_is_bounded(self) -> None:
        deferrals = Deferrals(most=10)
        for index in range(100):
            deferrals.put_off(address("defer-2"), f"<{index}>", 2)
        self.assertEqual(len(deferrals._counts), 10)

    def test_the_table_names_what_is_played(self) -> None:
        for pattern, _ in OUTCOMES:
            local = pattern.rstrip("@")
            self.assertTrue(local == "tls-fail" or part_of(address(local)) != Part(), local)
