"""Tokens: what is made is read, and nothing else is (VE1, VE2, YH2, UN3, CF3, W2, W3, A8)."""

from __future__ import annotations

import random
import re
import string

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message import base32
from smtpplus.message.token import (
    MAX_AGE_DAYS,
    Purpose,
    Token,
    TokenError,
    TokenFacts,
    TokenFault,
    Tokens,
    token_length,
)
from smtpplus.message.verp import local_part, read_local_part
from smtpplus.values.errors import UsageError

SECRET, FORMER, STRANGE = b"s" * 32, b"f" * 32, b"x" * 32
NOW = 1_794_300_000.0  # 2026-11-10T08:40:00Z
DAY = 86_400.0
FACTS = TokenFacts(7, 12, 1_234_567_890_123_456_789, 1_234_567_890_123_456_790)
TOKENS = Tokens([SECRET])
LETTERS = "0123456789abcdefghijklmnopqrstuv"
ids_32 = st.integers(0, 2**32 - 1)
ids_63 = st.integers(0, 2**63 - 1)


def mutated(text: str, dice: random.Random, letters: str = LETTERS) -> str:
    """`text` with one to four letters changed, dropped, doubled or exchanged; never the same."""
    result = text
    while result.lower() == text.lower():
        changed = list(result)
        for _ in range(dice.randint(1, 4)):
            place = dice.randrange(len(changed))
            kind = dice.randrange(5)
            if kind < 2:
                changed[place] = dice.choice(letters)
            elif kind == 2 and len(changed) > 1:
                del changed[place]
            elif kind == 3:
                changed.insert(place, dice.choice(letters))
            else:
                other = dice.randrange(len(changed))
                changed[place], changed[other] = changed[other], changed[place]
        result = "".join(changed)
    return result


class TokenTests(SynchronousTestCase):
    def fault(
        self, purpose: Purpose, text: str, now: float = NOW, bound: bytes = b""
    ) -> TokenFault:
        error: TokenError = self.assertRaises(
            TokenError, TOKENS.read, purpose, text, now, bound=bound
        )
        return error.fault

    def test_what_is_made_is_read(self) -> None:
        for purpose in Purpose:
            link = 513 if purpose is Purpose.CLICK else 0
            text = TOKENS.make(purpose, FACTS, NOW, link=link)
            expected = Token(purpose, FACTS, link, NOW - NOW % DAY)
            self.assertEqual(TOKENS.read(purpose, text, NOW), expected)

    @settings(max_examples=200, deadline=None)
    @given(ids_32, ids_32, ids_63, ids_63, st.sampled_from(Purpose))
    def test_any_ids(self, account: int, one: int, message: int, delivery: int, p: Purpose) -> None:
        facts = TokenFacts(account, one, message, delivery)
        text = TOKENS.make(p, facts, NOW)
        self.assertEqual(TOKENS.read(p, text, NOW).facts, facts)
        self.assertEqual(len(text), token_length(p))

    def test_ids_that_do_not_fit_are_refused_not_cut(self) -> None:
        for ids in ((2**32, 0, 0, 0), (0, 2**32, 0, 0), (0, 0, 2**63, 0), (0, 0, 0, -1)):
            self.assertRaises(ValueError, TokenFacts, *ids)

    def test_VE2_any_case_is_read(self) -> None:
        text = TOKENS.make(Purpose.RETURN_PATH, FACTS, NOW)
        mixed = "".join(one.upper() if index % 2 else one for index, one in enumerate(text))
        for variant in (text.upper(), text.title(), mixed):
            self.assertEqual(TOKENS.read(Purpose.RETURN_PATH, variant, NOW).facts, FACTS)

    def test_letters_that_only_become_ours_are_refused(self) -> None:
        text = TOKENS.make(Purpose.RETURN_PATH, FACTS, NOW)
        for strange in ("\u212a", "\uff11", "\u0131", "_", " ", "+", "-", "\n", "\0", "w", "Z"):
            for variant in (strange + text[1:], text[:-1] + strange, text[:5] + strange + text[6:]):
                self.assertEqual(self.fault(Purpose.RETURN_PATH, variant), TokenFault.MALFORMED)

    def test_YH2_return_paths_have_the_letters_and_the_length(self) -> None:
        for message in range(0, 2**63, 2**55 + 12345):
            facts = TokenFacts(message % 2**32, 3, message, message)
            local = local_part(Purpose.RETURN_PATH, TOKENS.make(Purpose.RETURN_PATH, facts, NOW))
            self.assertTrue(re.fullmatch(r"[a-z0-9._=+-]{1,64}", local), local)
            self.assertEqual(len(local), 63)

    def test_VE2_local_parts_are_read_in_any_case(self) -> None:
        for purpose in (Purpose.RETURN_PATH, Purpose.UNSUBSCRIBE):
            token = TOKENS.make(purpose, FACTS, NOW)
            self.assertEqual(read_local_part(local_part(purpose, token)), (purpose, token))
            upper = read_local_part(local_part(purpose, token).upper())
            assert upper is not None
            self.assertEqual(TOKENS.read(*upper, NOW).facts, FACTS)
            for other in (
                "",
                "b-",
                token,
                f"c-{token}",
                f"b-{token}x",
                f"b--{token}",
                "postmaster",
            ):
                self.assertIsNone(read_local_part(other), other)

    def test_VE1_W3_a_token_of_another_purpose_is_forged(self) -> None:
        for made in Purpose:
            text = TOKENS.make(made, FACTS, NOW)
            for read in Purpose:
                if read is not made:
                    fault = self.fault(read, text)
                    self.assertIn(fault, {TokenFault.FORGED, TokenFault.MALFORMED}, (made, read))

    def test_VE1_another_installation_is_forged(self) -> None:
        for purpose in Purpose:
            text = Tokens([STRANGE]).make(purpose, FACTS, NOW)
            self.assertEqual(self.fault(purpose, text), TokenFault.FORGED)

    def test_W2_W3_2000_mutations_of_each_purpose_are_refused(self) -> None:
        dice = random.Random(2)
        for purpose in Purpose:
            text = TOKENS.make(purpose, FACTS, NOW)
            for _ in range(2_000):
                self.fault(purpose, mutated(text, dice))

    def test_W3_every_single_letter_matters(self) -> None:
        text = TOKENS.make(Purpose.UNSUBSCRIBE, FACTS, NOW)
        for place, letter in enumerate(text):
            for other in LETTERS:
                if other != letter:
                    self.fault(Purpose.UNSUBSCRIBE, text[:place] + other + text[place + 1 :])

    def test_W3_random_tokens_never_hit(self) -> None:
        dice = random.Random(3)
        length = token_length(Purpose.UNSUBSCRIBE)
        for _ in range(100_000):
            self.fault(Purpose.UNSUBSCRIBE, "".join(dice.choices(LETTERS, k=length)))

    def test_rotation_two_secrets_are_read_the_first_makes(self) -> None:
        old, new = Tokens([FORMER]), Tokens([SECRET, FORMER])
        for purpose in Purpose:
            text = old.make(purpose, FACTS, NOW)
            self.assertEqual(new.read(purpose, text, NOW).facts, FACTS)
            self.assertEqual(new.make(purpose, FACTS, NOW), TOKENS.make(purpose, FACTS, NOW))
            self.assertRaises(TokenError, old.read, purpose, new.make(purpose, FACTS, NOW), NOW)

    def test_secrets_that_are_too_short_or_missing(self) -> None:
        for secrets in ([], [b"short"], [SECRET, b""]):
            self.assertRaises(UsageError, Tokens, secrets)

    def test_UN3_A8_expiry_by_purpose(self) -> None:
        for purpose, days in MAX_AGE_DAYS.items():
            text = TOKENS.make(purpose, FACTS, NOW)
            TOKENS.read(purpose, text, NOW + days * DAY)
            self.assertEqual(self.fault(purpose, text, NOW + (days + 1) * DAY), TokenFault.EXPIRED)
            TOKENS.read(purpose, text, NOW - DAY)  # a clock that was set back loses nothing
        self.assertGreaterEqual(MAX_AGE_DAYS[Purpose.UNSUBSCRIBE], 60)
        self.assertLessEqual(MAX_AGE_DAYS[Purpose.RETURN_PATH], 10)

    def test_a_scheduled_message_is_dated_when_it_is_sent(self) -> None:
        text = TOKENS.make(Purpose.RETURN_PATH, FACTS, NOW + 30 * DAY)
        TOKENS.read(Purpose.RETURN_PATH, text, NOW + 38 * DAY)

    def test_CF3_nothing_is_readable_and_neighbours_share_nothing(self) -> None:
        texts = [
            TOKENS.make(Purpose.FEEDBACK, TokenFacts(1, 1, 1000, 1000 + number), NOW)
            for number in range(500)
        ]
        self.assertEqual(len(set(texts)), 500)
        for place in range(token_length(Purpose.FEEDBACK) - 1):  # each letter takes all values
            self.assertGreater(len({text[place] for text in texts}), 24, place)

    def test_equal_facts_on_one_day_make_equal_tokens(self) -> None:
        first = TOKENS.make(Purpose.OPEN, FACTS, NOW)
        self.assertEqual(first, TOKENS.make(Purpose.OPEN, FACTS, NOW + 3600))
        self.assertNotEqual(first, TOKENS.make(Purpose.OPEN, FACTS, NOW + DAY))

    def test_bound_octets_matter(self) -> None:
        text = TOKENS.make(Purpose.CLICK, FACTS, NOW, link=1, bound=b"target")
        for bound in (b"", b"target ", b"Target", b"targe", b"other"):
            self.assertEqual(self.fault(Purpose.CLICK, text, bound=bound), TokenFault.FORGED)

    @settings(max_examples=300, deadline=None)
    @given(st.text(max_size=100))
    def test_any_text_is_refused_with_a_fault(self, text: str) -> None:
        for purpose in Purpose:
            self.fault(purpose, text)

    def test_MAC_is_at_least_80_bits(self) -> None:
        for purpose in Purpose:
            plain = 28 if purpose is Purpose.CLICK else 26
            self.assertGreaterEqual(token_length(purpose) * 5 - plain * 8, 80)
        self.assertGreaterEqual(token_length(Purpose.CLICK) * 5 - 28 * 8, 128)  # promise W2

    def test_errors_say_what_is_wrong(self) -> None:
        for fault in TokenFault:
            self.assertTrue(str(TokenError(fault)).endswith("."))


class Base32Tests(SynchronousTestCase):
    @settings(max_examples=300, deadline=None)
    @given(st.binary(min_size=1, max_size=90))
    def test_there_and_back(self, octets: bytes) -> None:
        text = base32.encode(octets)
        self.assertEqual(len(text), base32.text_length(len(octets)))
        self.assertEqual(base32.decode(text, len(octets)), octets)
        self.assertEqual(base32.decode(text.upper(), len(octets)), octets)

    def test_one_text_for_one_value(self) -> None:
        text = base32.encode(b"\xff")  # 8 bits, 2 letters, 2 bits to spare
        self.assertEqual(text, "vs")
        read = set()
        for other in string.ascii_lowercase + string.digits:
            try:
                read.add(base32.decode("v" + other, 1))
            except ValueError:
                continue
            self.assertEqual(base32.encode(base32.decode("v" + other, 1)), "v" + other)
        self.assertEqual(len(read), 8)
