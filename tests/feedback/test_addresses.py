"""Which addresses of the bounce domain are ours, and what is said to all others."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.feedback.addresses import Kind, ReturnAddresses, Stranger
from smtpplus.message.token import MAX_AGE_DAYS, Purpose, Token, TokenFacts, Tokens, token_length
from smtpplus.message.verp import local_part
from smtpplus.values.address import Address

NOW = 1_790_000_000.0
DOMAIN = "bounce.example.com"
FACTS = TokenFacts(1, 2, 3, 4)
_LETTERS = "0123456789abcdefghijklmnopqrstuv"
_DAY = 86_400


class ReturnAddressesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tokens = Tokens([b"an installation's own secret, 32"])
        self.addresses = ReturnAddresses(DOMAIN, self.tokens)

    def local(self, purpose: Purpose = Purpose.UNSUBSCRIBE, made_at: float = NOW) -> str:
        return local_part(purpose, self.tokens.make(purpose, FACTS, made_at))

    def find(self, local: str, domain: str = DOMAIN) -> Token | Stranger:
        return self.addresses.find(Address.parse(f"{local}@{domain}"), NOW)

    def refused(self, local: str, domain: str = DOMAIN) -> tuple[Kind, str]:
        found = self.find(local, domain)
        assert isinstance(found, Stranger)
        return found.kind, str(found.reply)[:9]

    def test_VE2_an_address_is_read_in_any_case(self) -> None:
        local = self.local()
        for written in (local, local.upper(), local.title()):
            for domain in (DOMAIN, DOMAIN.upper()):
                found = self.find(written, domain)
                assert isinstance(found, Token)
                self.assertEqual((found.purpose, found.facts), (Purpose.UNSUBSCRIBE, FACTS))

    def test_VE1_what_is_forged_or_too_old_is_refused_at_RCPT(self) -> None:
        chance, local = random.Random(1), self.local()
        for place in range(2, len(local)):
            letter = chance.choice(_LETTERS.replace(local[place], ""))
            changed = local[:place] + letter + local[place + 1 :]
            self.assertEqual(self.refused(changed), (Kind.FORGED, "550 5.1.1"), changed)
        for purpose in (Purpose.UNSUBSCRIBE, Purpose.RETURN_PATH):
            random_local = local_part(
                purpose, "".join(chance.choices(_LETTERS, k=token_length(purpose)))
            )
            self.assertEqual(self.refused(random_local), (Kind.FORGED, "550 5.1.1"))
            old = self.local(purpose, NOW - (MAX_AGE_DAYS[purpose] + 1) * _DAY)
            self.assertEqual(self.refused(old), (Kind.EXPIRED, "550 5.1.1"))

    def test_a_token_of_one_purpose_is_none_of_another(self) -> None:
        swapped = {"b-": "u-", "u-": "b-"}
        for purpose in (Purpose.UNSUBSCRIBE, Purpose.RETURN_PATH):
            local = self.local(purpose)
            self.assertEqual(self.refused(swapped[local[:2]] + local[2:])[0], Kind.FORGED)

    def test_UN3_an_address_works_for_60_days_and_more(self) -> None:
        for days in (0, 60, 730):
            self.assertIsInstance(self.find(self.local(made_at=NOW - days * _DAY)), Token, days)

    def test_VE3_other_domains_are_not_relayed_to(self) -> None:
        for domain in ("example.net", "example.com", f"x.{DOMAIN}", "[192.0.2.1]"):
            self.assertEqual(self.refused(self.local(), domain), (Kind.RELAY, "550 5.7.1"))

    def test_what_is_nobodys_is_unknown_and_what_is_not_read_yet_is_put_off(self) -> None:
        for local in ("anna", "u-", "b-x", f"{self.local()}x", self.local()[:-1], '"u- x"'):
            self.assertEqual(self.refused(local), (Kind.UNKNOWN, "550 5.1.1"), local)
        bounce = self.local(Purpose.RETURN_PATH)
        for local in ("postmaster", "Abuse", "fbl", bounce, bounce.upper()):
            self.assertEqual(self.refused(local), (Kind.LATER, "451 4.3.2"), local)
