"""Who may send as whom: A1, A7, DM4, SU (RFC 6409 §4.2)."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from smtpplus.rules.admission import (
    SenderRights,
    refuse_header,
    refuse_recipient,
    refuse_sender,
    refuse_sign_in,
    refuse_user,
)
from smtpplus.values.address import Address
from smtpplus.values.submission import ScramVerifier, SenderDomain, SmtpUser, UserStatus

NO_SECRET = ScramVerifier(b"", 4096, b"", b"")
DOMAINS = (
    SenderDomain(1, 1, "example.com", 1.0, 0.0),
    SenderDomain(2, 1, "shop.example.com", 1.0, 0.0),
    SenderDomain(3, 1, "bücher.example", 1.0, 0.0),
    SenderDomain(4, 1, "unproven.example", None, 0.0),
    SenderDomain(5, 2, "tenant-b.example", 1.0, 0.0),
)


def rights(domains: tuple[str, ...] = (), senders: tuple[str, ...] = ()) -> SenderRights:
    user = SmtpUser(
        id=1,
        account_id=1,
        list_id=1,
        username="s10001_01",
        verifier=NO_SECRET,
        domains=domains,
        senders=senders,
        account_name="acme",
    )
    return SenderRights.of(user, DOMAINS)


class UserTests(TestCase):
    def test_P1_states_are_told_apart(self) -> None:
        noon = 1_795_608_000.0
        for status, until, at_sign_in, at_mail in (
            (UserStatus.ACTIVE, None, "None", "None"),
            (UserStatus.ACTIVE, noon, "None", "None"),
            (UserStatus.ACTIVE, noon + 60, "454 4.7.0", "451 4.7.1"),
            (UserStatus.OFF, None, "535 5.7.8", "550 5.7.1"),
            (UserStatus.BLOCKED_BY_OPERATOR, noon + 60, "535 5.7.8", "550 5.7.1"),
        ):
            user = SmtpUser(1, 1, 1, "s1_01", NO_SECRET, status=status, blocked_until=until)
            self.assertEqual(str(refuse_sign_in(user, noon))[:9], at_sign_in)
            self.assertEqual(str(refuse_user(user, noon))[:9], at_mail)

    def test_P1_the_time_is_told_and_the_reason_is_not(self) -> None:
        user = SmtpUser(
            1, 1, 1, "s1_01", NO_SECRET, blocked_until=1_795_608_000.0, block_reason="phishing"
        )
        text = str(refuse_sign_in(user, 0.0))
        self.assertIn("2026-11-25 12:00 UTC", text)
        self.assertNotIn("phishing", text)


class SenderTests(TestCase):
    def check(self, who: SenderRights, address: str, *, allowed: bool) -> None:
        reply = refuse_sender(who, Address.parse(address))
        self.assertEqual(reply is None, allowed, f"{address}: {reply}")
        if reply is not None:
            self.assertEqual((reply.code, str(reply.enhanced)), (550, "5.7.1"))

    def test_A7_all_verified_domains_where_nothing_is_named(self) -> None:
        for address, allowed in (
            ("a@example.com", True),
            ("A@EXAMPLE.COM", True),
            ('"odd one"@example.com', True),
            ("a@shop.example.com", True),
            ("a@bücher.example", True),
            ("a@xn--bcher-kva.example", True),
            ("a@unproven.example", False),
            ("a@tenant-b.example", False),
            ("a@news.example.com", False),  # a subdomain needs its own proof
            ("a@com", False),
            ("a@notexample.com", False),
            ("a@example.com.evil.example", False),
            ("a@[192.0.2.1]", False),
            ("a%example.com@tenant-b.example", False),
            ('"a@example.com"@tenant-b.example', False),
        ):
            self.check(rights(), address, allowed=allowed)

    def test_A7_authorised_domains(self) -> None:
        who = rights(domains=("Shop.Example.com", "tenant-b.example", "unproven.example"))
        self.check(who, "a@shop.example.com", allowed=True)
        self.check(who, "a@example.com", allowed=False)
        self.check(who, "a@tenant-b.example", allowed=False)
        self.check(who, "a@unproven.example", allowed=False)

    def test_A7_an_authorised_parent_holds_verified_subdomains(self) -> None:
        who = rights(domains=("example.com",))
        self.check(who, "a@shop.example.com", allowed=True)
        self.check(who, "a@other.example.com", allowed=False)
        self.check(who, "a@xn--bcher-kva.example", allowed=False)

    def test_A7_authorised_senders(self) -> None:
        who = rights(senders=("Billing@example.com", "x@tenant-b.example", "not an address"))
        self.check(who, "billing@EXAMPLE.com", allowed=True)
        self.check(who, "sales@example.com", allowed=False)
        self.check(who, "x@tenant-b.example", allowed=False)

    def test_domains_and_senders_add_up(self) -> None:
        who = rights(domains=("shop.example.com",), senders=("boss@example.com",))
        self.check(who, "a@shop.example.com", allowed=True)
        self.check(who, "boss@example.com", allowed=True)
        self.check(who, "a@example.com", allowed=False)

    def test_null_sender_is_admitted(self) -> None:
        self.assertIsNone(refuse_sender(rights(), None))

    def test_refusals_say_what_to_do(self) -> None:
        for who, address, words in (
            (rights(), "a@new.example", "smtpplus domain add acme new.example"),
            (rights(), "a@unproven.example", "smtpplus domain check unproven.example"),
            (rights(domains=("example.com",)), "a@xn--bcher-kva.example", "s10001_01 domains"),
            (rights(senders=("b@example.com",)), "a@example.com", "s10001_01 senders"),
        ):
            reply = refuse_sender(who, Address.parse(address))
            assert reply is not None
            self.assertIn(words, reply.text)
            self.assertIn(f"<{address}> is not an authorised sender of user s1", reply.text)


class HeaderTests(TestCase):
    def test_A7_DM4_each_address_of_from_and_sender(self) -> None:
        mine, theirs = Address.parse("a@example.com"), Address.parse("a@tenant-b.example")
        self.assertIsNone(refuse_header(rights(), (mine,), None))
        self.assertIsNone(refuse_header(rights(), (mine,), mine))
        for header_from, sender in (
            ((theirs,), None),
            ((mine, theirs), None),
            ((mine,), theirs),
            ((theirs,), mine),
        ):
            reply = refuse_header(rights(), header_from, sender)
            assert reply is not None
            self.assertEqual((reply.code, str(reply.enhanced)), (550, "5.7.1"))


class RecipientTests(TestCase):
    def test_domains_are_fully_qualified(self) -> None:
        for address, allowed in (
            ("u@d.example", True),
            ("u%d@h.example", True),
            ("d!u@h.example", True),
            ('"u@d"@h.example', True),
            ("u@[192.0.2.1]", True),
            ("u@localhost", False),
            ("u@intranet", False),
        ):
            reply = refuse_recipient(Address.parse(address), "mx.example.com")
            self.assertEqual(reply is None, allowed, address)
            if reply is not None:
                self.assertEqual((reply.code, str(reply.enhanced)), (550, "5.1.2"))

    def test_our_own_name_is_in_order(self) -> None:
        self.assertIsNone(refuse_recipient(Address.parse("postmaster@localhost"), "Localhost"))
