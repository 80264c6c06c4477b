"""Who opened and who clicked: W4, W5."""

from __future__ import annotations

import ipaddress
import random
import re
import time
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.open_agents import _kind
from smtpplus.rules.open_networks import _TABLE, is_ipv4, network_of
from smtpplus.rules.opens import Access, Observed, OpenClass, Siblings, classify
from tests.corpora import corpus_path
from tests.rules.open_cases import AGENTS, cases

AT = 1_794_300_000.0
MACHINES = {OpenClass.SCANNER, OpenClass.PREFETCH, OpenClass.PRIVACY_PROXY}


def agents(name: str) -> list[str]:
    """The agents of a corpus file: a list item a line, quoted as in YAML."""
    found = []
    text = (corpus_path("user_agents") / name).read_text(encoding="utf-8")
    for item in re.findall(r"^ +- (.*)$", text, re.MULTILINE):
        if item[0] == '"':
            found.append(item[1:-1].replace('\\"', '"'))
        elif item[0] == "'":
            found.append(item[1:-1].replace("''", "'"))
        else:
            found.append(item)
    return found


class LabelledTests(SynchronousTestCase):
    def test_W4_W5_two_hundred_labelled_cases(self) -> None:
        table = list(cases())
        self.assertGreaterEqual(len(table), 200)
        self.assertEqual(len({line for line, _, _ in table}), len(table))
        wrong = [
            f"{line}: {verdict}"
            for line, label, seen in table
            if (verdict := classify(seen)).klass is not label
        ]
        self.assertEqual(wrong, [])

    def test_W5_precision_and_recall_of_each_class(self) -> None:
        table = list(cases())
        right: Counter[OpenClass] = Counter()
        found: Counter[OpenClass] = Counter()
        labelled = Counter(label for _, label, _ in table)
        for _, label, seen in table:
            klass = classify(seen).klass
            found[klass] += 1
            right[klass] += klass is label
        for klass, count in labelled.items():
            self.assertGreaterEqual(right[klass] / count, 0.99, klass)
            self.assertGreaterEqual(right[klass] / found[klass], 0.99, klass)

    def test_every_verdict_says_why_and_how_sure(self) -> None:
        for line, _, seen in cases():
            verdict = classify(seen)
            self.assertTrue(all(verdict.reasons) and verdict.reasons, line)
            self.assertTrue(0.5 <= verdict.confidence < 1, line)


class CorpusTests(SynchronousTestCase):
    def share(self, name: str, classes: set[OpenClass]) -> float:
        of_all = agents(name)
        self.assertGreater(len(of_all), 500)
        seen = [Observed(access=Access.CLICK, agent=agent) for agent in of_all]
        return sum(classify(one).klass in classes for one in seen) / len(seen)

    def test_W5_crawlers_are_recalled(self) -> None:
        self.assertGreaterEqual(self.share("crawlers.yml", {OpenClass.SCANNER}), 0.95)

    def test_W5_browsers_are_not_taken_for_scanners(self) -> None:
        self.assertLessEqual(self.share("browsers.yml", MACHINES), 0.01)


class SiblingsTests(SynchronousTestCase):
    def follow(self, links: list[int], gap: float, total: int) -> list[OpenClass]:
        siblings, classes = Siblings(), []
        for number, link in enumerate(links):
            at = AT + number * gap
            seen = Observed(
                access=Access.CLICK, agent=AGENTS["chrome"], at=at, delivered_at=AT - 3600,
                link=link, links_in_message=total, siblings=siblings,
            )  # fmt: skip
            verdict = classify(seen)
            siblings = siblings.after(link, at, verdict)
            classes.append(verdict.klass)
        return classes

    def test_W4_all_links_at_once(self) -> None:
        classes = self.follow(list(range(8)), 0.2, 8)
        self.assertEqual(classes[-1], OpenClass.SCANNER)
        self.assertEqual(classes[5:], [OpenClass.SCANNER] * 3)

    def test_W4_once_a_scanner_always_a_scanner(self) -> None:
        classes = self.follow([0, 1, 2, 3, 0, 1], 0.1, 4)
        self.assertEqual(classes[2:], [OpenClass.SCANNER] * 4)

    def test_a_person_takes_time_or_returns_to_the_same_link(self) -> None:
        self.assertEqual(set(self.follow(list(range(8)), 6.0, 8)), {OpenClass.PERSON})
        self.assertEqual(set(self.follow([3] * 8, 0.5, 8)), {OpenClass.PERSON})

    def test_the_summary_is_bounded(self) -> None:
        siblings = Siblings()
        verdict = classify(Observed(access=Access.CLICK, agent=AGENTS["chrome"]))
        for link in range(10_000):
            siblings = siblings.after(link, AT, verdict)
        self.assertLessEqual(len(siblings.links), 256)


class NetworkTests(SynchronousTestCase):
    def test_networks_do_not_overlap_and_have_a_source(self) -> None:
        for owner, _, source, networks in _TABLE:
            self.assertTrue(source, owner)
            for text in networks:
                for address in (text.partition("/")[0],):
                    network = network_of(address)
                    assert network is not None
                    self.assertEqual(network.owner, owner, text)

    def test_addresses_outside_are_in_none(self) -> None:
        for address in (
            "",
            "16.255.255.255",
            "18.0.0.0",
            "203.0.113.1",
            "::1",
            "x",
            "17.0.0",
            "[::1]",
        ):
            self.assertIsNone(network_of(address), address)

    def test_an_ipv4_address_is_what_the_standard_library_writes(self) -> None:
        chance = random.Random(4711)
        texts = ["", "1.2.3", "1.2.3.4", "1.2.3.4.", "1.2.3.4.5", "01.2.3.4", "1.2.3.4\n", "1..2.3",
                 "256.1.1.1", "255.255.255.255", "0.0.0.0", "::1", "1.2.3.\u0664", " 1.2.3.4"]  # fmt: skip
        letters = (chance.choices("01259.", k=chance.randint(6, 15)) for _ in range(5000))
        for text in [*texts, *map("".join, letters)]:
            try:
                expected = str(ipaddress.IPv4Address(text)) == text
            except ValueError:
                expected = False
            self.assertEqual(is_ipv4(text), expected, text)

    def test_mapped_addresses(self) -> None:
        network = network_of("::ffff:17.1.2.3")
        assert network is not None
        self.assertEqual(network.owner, "Apple")


class HostileTests(SynchronousTestCase):
    @settings(max_examples=300, deadline=None)
    @given(st.text(max_size=300), st.text(max_size=60), st.text(max_size=60), st.text(max_size=12))
    def test_anything_is_classified(self, agent: str, ip: str, owner: str, method: str) -> None:
        for access in Access:
            seen = Observed(
                access=access, agent=agent, address=ip, network_owner=owner, method=method
            )
            self.assertIsInstance(classify(seen).klass, OpenClass)

    def test_long_agents_take_no_time(self) -> None:
        pieces = (
            "bo",
            "Mozilla/5.0 (",
            "a.",
            "a-",
            "@a.",
            "google",
            "(compatible; ",
            "x" * 7 + " ",
        )
        started = time.process_time()
        for piece in pieces:
            _kind.cache_clear()
            classify(Observed(access=Access.OPEN, agent=piece * 200_000))
        self.assertLess(time.process_time() - started, 1.0)
