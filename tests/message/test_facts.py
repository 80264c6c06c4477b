"""Facts of a content, however it is cut."""

from __future__ import annotations

import zlib
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.message.facts import ContentFacts

LINES = st.lists(
    st.sampled_from(
        [b"", b"a", b"\xe4", b"x" * 500, b"x" * 997, b"x" * 998, b"x" * 999, b"x" * 1500]
    ),
    max_size=12,
).map(b"\r\n".join)


class ContentFactsTest(SynchronousTestCase):
    @given(LINES, st.lists(st.integers(0, 6000), max_size=6))
    @settings(max_examples=500, deadline=None)
    def test_S4_cut_anywhere(self, content: bytes, cuts: list[int]) -> None:
        facts = ContentFacts()
        borders = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
        for start, end in pairwise(borders):
            facts.update(content[start:end])
        self.assertEqual(facts.octets, len(content))
        self.assertEqual(facts.crc32, zlib.crc32(content))
        self.assertEqual(facts.eight_bit, not content.isascii())
        self.assertEqual(facts.long_lines, any(len(line) > 998 for line in content.split(b"\r\n")))

    def test_byte_by_byte(self) -> None:
        for size, long in [(998, False), (999, True)]:
            facts = ContentFacts()
            for octet in b"a\r\n" + b"x" * size + b"\r\n" + b"b\r\n":
                facts.update(bytes([octet]))
            self.assertEqual(facts.long_lines, long, size)
