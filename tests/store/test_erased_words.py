"""What tells of a person in a text is found however it is spelt."""

from __future__ import annotations

from itertools import product

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
        self.assertFalse(words.tells("Eve M Law"))

    def test_a_code_tells_of_its_address_and_not_of_one_that_ends_alike(self) -> None:
        words = ErasedWords(["eve@x.example"], [], "?@?")
        for code in (
            "for-eve@x.example",
            "n_EVE@x.example_2",
            "a+eve@x.example",
            "code:eve@x.example",
        ):
            self.assertTrue(words.tells(code), code)
        for link in ("https://a.example/?m%3Deve%40x.example", "https://a.example/eve=x.example/"):
            self.assertTrue(words.tells(link), link)
        for code in ("steve@x.example", "2eve@x.example", "l.eve@x.example", "eve@x.example.org"):
            self.assertFalse(words.tells(f"subject:{code}"), code)

    def test_spellings_by_case_are_looked_for_as_one(self) -> None:
        spellings = [f"{''.join(pair)}lyn@x.example" for pair in product("eE", "vV", "eE")]
        one, many = (ErasedWords(some, ["Eve Law"], "?@?") for some in (spellings[:1], spellings))
        self.assertEqual((len(spellings), many.forms), (8, one.forms))
        self.assertEqual(many.text("EveLyn@X.example, evelyn%40x.example"), "?@?, ?@?")

    def test_letters_beyond_ascii_are_found_in_either_case(self) -> None:
        words = ErasedWords(["Zo\u00cb@x.example"], [], "?@?")
        self.assertEqual(words.text("zo\u00eb@x.example zo%C3%8B%40x.example"), "?@? ?@?")
        octets = "for <zo\u00cb@x.example>".encode() + b"\xff"
        self.assertEqual(words.octets(octets), b"for <?@?>\xff")
