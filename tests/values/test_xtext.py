"""xtext, both ways."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.values.xtext import from_xtext, is_xtext, to_xtext


class XtextTest(SynchronousTestCase):
    def test_table(self) -> None:
        for text, plain in [
            ("a+2Bb", "a+b"),
            ("a+3Db", "a=b"),
            ("", ""),
            ("+C3+A4", "ä"),
            ("+zz", "+zz"),
        ]:
            self.assertEqual(from_xtext(text), plain)
        self.assertTrue(is_xtext("a+2B"))
        self.assertFalse(any(map(is_xtext, ["a b", "a=b", "a+", "a+2", "a+2b", "ä"])))

    @given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
    def test_round_trip(self, text: str) -> None:
        self.assertTrue(is_xtext(to_xtext(text)))
        self.assertEqual(from_xtext(to_xtext(text)), text)
