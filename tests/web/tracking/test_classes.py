"""Who was it: bursts, what a client did before, what is kept in privacy mode."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.token import TokenFacts
from smtpplus.message.tracking_urls import HONEYPOT_LINK
from smtpplus.rules.opens import Access
from smtpplus.values.response import Response
from smtpplus.web.tracking.classes import Classes, Judged
from smtpplus.web.tracking.clients import ClientMemory
from smtpplus.web.tracking.hits import Hit

_FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"
_GOOGLE = (
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
)
_AT = 1_795_442_733.0
_DELIVERED = {1: _AT - 3600, 2: _AT - 3600}
_HOME = "192.0.2.7"
_SCANNERS = "67.231.144.9"  # Proofpoint's


def click(
    link: int,
    after: float = 0.0,
    ip: str = _HOME,
    *,
    method: str = "GET",
    delivery: int = 1,
    links: int = 6,
) -> Hit:
    """A person's click on link number `link` of `links`, by its looks."""
    facts = TokenFacts(1, 1, 9, delivery)
    url = f"https://example.com/{link}"
    return Hit(Access.CLICK, _AT + after, facts, method, ip, _FIREFOX, {}, link, url, links)


def opened(after: float = 0.0, ip: str = _HOME) -> Hit:
    """A person's open, by its looks."""
    return Hit(Access.OPEN, _AT + after, TokenFacts(1, 1, 9, 1), "GET", ip, _FIREFOX, {})


def all_links(after: float = 0.0) -> list[Hit]:
    """Six links within a tenth of a second."""
    return [click(link, after + link / 50) for link in range(6)]


class ClassesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.classes = Classes()

    def responses(self, *hits: Hit, private: bool = False) -> list[Response]:
        """What is recorded of a group."""
        return list(self.judged(*hits, private=private).responses)

    def judged(self, *hits: Hit, private: bool = False) -> Judged:
        """The same, and what was recorded wrongly before."""
        return self.classes.responses(hits, _DELIVERED, {1} if private else set())

    def by(self, *hits: Hit) -> list[str]:
        """The classes of a group."""
        return [one.by for one in self.responses(*hits)]

    def test_a_persons_clicks(self) -> None:
        self.assertEqual(self.by(click(0), click(1, 0.5)), ["person", "person"])

    def test_W4_all_links_at_once_are_a_scanners_from_the_first_click_on(self) -> None:
        self.assertEqual(self.by(*all_links()), ["scanner"] * 6)

    def test_W4_a_burst_over_the_addresses_of_one_network(self) -> None:
        burst = [click(link, link / 50, f"192.0.2.{link}") for link in range(6)]
        self.assertEqual(self.by(*burst), ["scanner"] * 6)

    def test_W4_a_burst_that_goes_on_in_the_next_group_corrects_the_first(self) -> None:
        first = self.responses(click(0, links=5), click(1, 0.1, links=5))
        self.assertEqual([one.by for one in first], ["person"] * 2)
        self.assertEqual(self.judged(click(1, 0.5, "198.51.100.9")).mistaken, [])
        found = self.judged(click(2, 0.8, links=5), click(3, 0.9, links=5))
        self.assertEqual([one.by for one in found.responses], ["scanner"] * 2)
        self.assertEqual(found.mistaken, [replace(one, by="scanner") for one in first])
        self.assertEqual(self.judged(click(4, 1.2, links=5)).mistaken, [])

    def test_W4_only_the_last_seconds_before_a_scanner_shows_are_corrected(self) -> None:
        for at in (0.0, 20.0, 25.0):
            self.assertEqual(self.by(click(0, at)), ["person"])
        (one,) = self.judged(click(HONEYPOT_LINK, 31.0)).mistaken
        self.assertEqual(one.at, _AT + 25.0)

    def test_W4_in_privacy_mode_clicks_are_corrected_too(self) -> None:
        first = self.responses(click(0), private=True)
        found = self.judged(click(HONEYPOT_LINK, 0.9), private=True)
        self.assertEqual(found.mistaken, [replace(one, by="scanner") for one in first])

    def test_W4_the_first_click_of_who_then_asks_by_HEAD_is_no_persons(self) -> None:
        self.assertEqual(self.by(click(0), click(1, 0.1, method="HEAD")), ["scanner"] * 2)

    def test_W4_a_link_that_no_person_sees(self) -> None:
        self.assertEqual(self.by(click(0), click(HONEYPOT_LINK, 0.1)), ["scanner"] * 2)

    def test_a_scanner_does_not_spoil_another_client_or_another_delivery(self) -> None:
        others = [click(0, 0.3, "198.51.100.9"), click(0, 0.3, delivery=2)]
        self.assertEqual(self.by(*all_links(), *others)[-2:], ["person", "person"])

    def test_who_comes_later_from_a_scanners_network_is_a_person(self) -> None:
        self.by(*all_links())
        self.assertEqual(self.by(click(0, 30.0)), ["scanner"])
        self.assertEqual(self.by(click(0, 120.0)), ["person"])

    def test_three_of_many_links_are_a_persons(self) -> None:
        three = [click(link, float(link), links=12) for link in range(3)]
        self.assertEqual(self.by(*three), ["person"] * 3)
        two = [click(link, float(link), links=4, delivery=2) for link in range(2)]
        self.assertEqual(self.by(*two), ["person"] * 2)

    def test_W4_of_a_text_and_a_page_with_the_same_links_one_is_enough(self) -> None:
        page = [click(10 + link, link / 10, links=10) for link in range(10)]
        self.assertEqual(self.by(*page), ["scanner"] * 10)

    def test_W4_most_links_in_a_burst_after_a_single_one(self) -> None:
        self.assertEqual(self.by(click(1, links=10)), ["person"])
        rest = [click(link, 11.0 + link / 50, links=10) for link in range(3, 11)]
        self.assertEqual(self.by(*rest), ["scanner"] * 8)

    def test_before_two_seconds_after_delivery_nobody_reads(self) -> None:
        for seconds, wanted in ((-1.0, "scanner"), (1.0, "scanner"), (60.0, "person")):
            ((one,), _) = Classes().responses([click(0)], {1: _AT - seconds}, ())
            self.assertEqual(one.by, wanted)

    def test_W5_a_proxys_open(self) -> None:
        facts = TokenFacts(1, 1, 9, 1)
        hit = Hit(Access.OPEN, _AT, facts, "GET", "66.249.84.1", _GOOGLE, {})
        self.assertEqual(self.by(hit), ["privacy_proxy"])

    def test_what_a_client_says_of_itself_counts(self) -> None:
        facts, says = TokenFacts(1, 1, 9, 1), {"sec-purpose": "prefetch;prerender"}
        hit = Hit(Access.CLICK, _AT, facts, "GET", _HOME, _FIREFOX, says, 0, "https://example.com/")
        self.assertEqual(self.by(hit), ["prefetch"])

    def test_the_same_request_twice_in_a_group_is_one(self) -> None:
        found = self.responses(click(0), click(0, 0.2), click(0, 0.3, "198.51.100.1"))
        self.assertEqual([one.client_ip for one in found], [_HOME, "198.51.100.1"])

    def test_privacy_mode_keeps_clicks_without_who_it_was(self) -> None:
        (one,) = self.responses(click(3), private=True)
        self.assertEqual((one.client_ip, one.agent, one.only_counted), ("", "", False))
        self.assertEqual((one.target, one.by), ("https://example.com/3", "person"))

    def test_W4_in_privacy_mode_a_scanner_does_not_make_one_of_the_person_who_follows(self) -> None:
        """It looked through all links by HEAD, from elsewhere and just before."""
        scans = [click(link, link / 50, "198.51.100.9", method="HEAD") for link in range(6)]
        self.assertEqual({one.by for one in self.responses(*scans, private=True)}, {"scanner"})
        person = [opened(12.0), click(0, 13.0)]
        found = self.responses(*person, private=True)
        self.assertEqual([one.by for one in found], ["person", "person"])
        self.assertEqual(self.judged(*scans, private=True).mistaken, [])

    def test_W4_in_privacy_mode_a_scanner_in_the_same_group_is_another_client(self) -> None:
        scans = [click(link, link / 50, "198.51.100.9", method="HEAD") for link in range(6)]
        found = self.responses(click(0), *scans, private=True)
        self.assertEqual([one.by for one in found], ["person"] + ["scanner"] * 6)

    def test_W4_in_privacy_mode_a_burst_over_one_network_is_a_scanners(self) -> None:
        burst = [click(link, link / 50, f"192.0.2.{link}") for link in range(6)]
        self.assertEqual({one.by for one in self.responses(*burst, private=True)}, {"scanner"})

    def test_in_privacy_mode_the_memory_names_no_network(self) -> None:
        """Nor is it called the same in another process."""
        self.responses(click(0), private=True)
        ((_, client),) = self.classes.clients._kept
        self.assertNotIn("192.0.2", repr(self.classes.clients._kept))
        self.classes = Classes()
        self.responses(click(0), private=True)
        self.assertNotIn((1, client), self.classes.clients._kept)

    def test_in_privacy_mode_what_a_network_says_counts_and_is_not_kept(self) -> None:
        (one,) = self.responses(click(0, ip=_SCANNERS), private=True)
        self.assertEqual((one.by, one.client_ip, one.agent), ("scanner", "", ""))

    def test_R_memory_is_bounded(self) -> None:
        clients = ClientMemory(100)
        self.classes = Classes(clients)
        for number in range(1000):
            self.by(click(0, delivery=number))
        self.assertEqual(len(clients._kept), 100)
