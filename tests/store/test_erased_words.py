"""What tells of a person in a text is found however it is spelt."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.store.erased_words import ErasedWords


class WordsTests(SynchronousTestCase):
    def test_however_it_is_spelt_and_not_within_another(self) -> None:
        words = ErasedWords(['"a b"@x.example', "Eve@x.example"], ["Eve", "Eve M Law"], "?@?")
        for text, expected in (
            ("to EVE@x.example.", "to ?@?."),
            ("xeve@x.example", "xeve@x.example"),
            ("a.eve@x.example", "a.eve@x.example"),
            ("eve@x.example.org", "eve@x.example.org"),
            ("?to=eve%40x.example&to%3Deve@x.example", "?to=?@?&to%3D?@?"),
            ("bounce-eve=x.example@shop.example", "bounce-?@?@shop.example"),
            (r'{"to":"<\"a b\"@x.example>"}', r'{"to":"<?@?>"}'),
            ("Eve, for Eve M Law", "Eve, for (erased)"),
        ):
            self.assertEqual(words.words(text), expected)
        self.assertEqual(words.octets(b"for <eve@x.example>;"), b"for <?@?>;")
        self.assertTrue(words.tells("for-eve@x.example"))
        self.assertFalse(words.tells("Eve M Law"))
