from twisted.trial.unittest import SynchronousTestCase

from smtpplus.values.address import Address
from smtpplus.values.errors import AddressError

_LABEL_63 = "d" * 63
_DOMAIN_189 = ".".join([_LABEL_63, _LABEL_63, "d" * 57, "ex"])  # 63 + 1 + 63 + 1 + 57 + 1 + 2 = 188

GOOD = (
    "a@example.com",
    "first.last@example.com",
    "first.middle.last@example.com",
    "user+tag@example.com",
    "user-name@example.com",
    "user_name@example.com",
    "!#$%&'*+-/=?^_`{|}~@example.com",
    "1234567890@example.com",
    "a@b",
    "a@b.c.d.e.f",
    "a@sub-domain.example.com",
    "a@1and1.example",
    "a@3com.com",
    "a@123.example",
    "a@x_y.example",  # not a host name, but met in the wild
    "A@EXAMPLE.COM",
    '"john doe"@example.com',
    '"john..doe"@example.com',
    '".john"@example.com',
    '"john@doe"@example.com',
    '"a\\"b"@example.com',
    '"a\\\\b"@example.com',
    '"a b\\ c"@example.com',
    '"<>"@example.com',
    '"(),:;@[]"@example.com',
    '""@example.com',
    "a@[192.0.2.1]",
    "a@[IPv6:2001:db8::1]",
    "a@[ipv6:::1]",
    "a@[IPv6:::ffff:192.0.2.1]",
    "x" * 64 + "@example.com",
    "a@" + _LABEL_63 + ".example",
    "x" * 64 + "@" + _DOMAIN_189 + "a",
    "r\u00e9my@example.com",
    "\u7528\u6237@\u4f8b\u5b50.\u5e7f\u544a",
    "a@b\u00fccher.example",
    "a@xn--bcher-kva.example",
    "a@stra\u00dfe.example",
    "a@\u05d3\u05d5\u05d0\u05e8.example",
    "\u0645\u0633\u062a\u062e\u062f\u0645@example.com",
    '"r\u00e9 my"@example.com',
    "a@\u0628\u0631\u200c\u06cc.example",
    "postmaster@example.com",
    "bounce+a=b.example@example.com",
    "=?utf-8?q?x?=@example.com",
)

BAD = (
    "",
    "@",
    "a",
    "a@",
    "@example.com",
    "postmaster",
    ".a@example.com",
    "a.@example.com",
    "a..b@example.com",
    "a b@example.com",
    " a@example.com",
    "a@example.com ",
    "a @example.com",
    "a@ example.com",
    "a@b@example.com",
    "a,b@example.com",
    "a;b@example.com",
    "a:b@example.com",
    "a(b)@example.com",
    "a[b]@example.com",
    "a<b@example.com",
    "a>b@example.com",
    "<a@example.com>",
    "a\\b@example.com",
    'a"b@example.com',
    '"a@example.com',
    'a"@example.com',
    '"a"b@example.com',
    '"a"".b"@example.com',
    '"a"@',
    '"a"example.com',
    '"a\\"@example.com',
    '"a"b"@example.com',
    '"a\r\nb"@example.com',
    '"a\nb"@example.com',
    '"a\0b"@example.com',
    '"a\\\nb"@example.com',
    '"a\tb"@example.com',
    "a\r\n@example.com",
    "a\r@example.com",
    "a\n@example.com",
    "a\0@example.com",
    "a\t@example.com",
    "a\x7f@example.com",
    "a\x1b@example.com",
    "a@exa\rmple.com",
    "a@exa\nmple.com",
    "a@exa\0mple.com",
    "a@example.com\r\n",
    "a@example.com\n",
    "a@example.com\0",
    "a@exam ple.com",
    "a@.example.com",
    "a@example.com.",
    "a@example..com",
    "a@-example.com",
    "a@example-.com",
    "a@example.-com",
    "a@exam(ple).com",
    "a@example.com,b@example.com",
    "a@exa;mple.com",
    "a@exa/mple.com",
    "a@exa%mple.com",
    "a@exa:25",
    "a@192.0.2.1",
    "a@2130706433",
    "a@[192.0.2.1",
    "a@192.0.2.1]",
    "a@[192.0.2.256]",
    "a@[192.0.2]",
    "a@[192.0.2.1.1]",
    "a@[0300.0.2.1]",
    "a@[]",
    "a@[ 192.0.2.1]",
    "a@[2001:db8::1]",
    "a@[IPv6:2001:db8:::1]",
    "a@[IPv6:192.0.2.1]",
    "a@[IPv6:fe80::1%eth0]",
    "a@[IPv6:]",
    "a@[example.com]",
    "a@[x-tag:content]",
    "a@[192.0.2.1].example",
    "x" * 65 + "@example.com",
    "\u00e9" * 33 + "@example.com",
    '"' + "x" * 63 + '"@example.com',
    "a@" + "d" * 64 + ".example",
    "a@" + "\u00fc" * 60 + ".example",
    "x" * 64 + "@" + _DOMAIN_189 + "aa",
    "a@" + ".".join(["d" * 60] * 5),
    "a@" + "d." * 200 + "d",
    "a\u202e@example.com",
    "a@exam\u202eple.com",
    "a\u2028@example.com",
    "a\u2029b@example.com",
    "a\u0085b@example.com",
    "a\u00a0b@example.com",
    "a\u3000b@example.com",
    "a\ufeff@example.com",
    "a\udce9@example.com",
    "a@\udce9.example",
    "a\ue000@example.com",
    "a\uffff@example.com",
    "a@b\u3002c.example",
    "a@b\uff0ec.example",
    "a@\u2488com.example",
    "a@\u2024example.com",
    "a@\u00ad.example",
    "a@b\u200b.example",
)


class AddressTests(SynchronousTestCase):
    def test_S10_what_is_an_address(self) -> None:
        for text in GOOD:
            with self.subTest(text=ascii(text)):
                self.assertEqual(str(Address.parse(text)), text)

    def test_S10_what_is_none(self) -> None:
        for text in BAD:
            with self.subTest(text=ascii(text)), self.assertRaises(AddressError) as caught:
                Address.parse(text)
            self.assertTrue(str(caught.exception).isprintable())
        self.assertGreaterEqual(len(set(GOOD)) + len(set(BAD)), 150)

    def test_S10_the_longest(self) -> None:
        longest = "x" * 64 + "@" + _DOMAIN_189 + "a"
        self.assertEqual(len(longest), 254)
        Address.parse(longest)
        with self.assertRaisesRegex(AddressError, "254"):
            Address.parse(longest + "a")

    def test_parts(self) -> None:
        for text, local, domain in (
            ('"a@b"@example.com', '"a@b"', "example.com"),
            ("a@[IPv6:::1]", "a", "[IPv6:::1]"),
            ("a@b\u00fccher.example", "a", "b\u00fccher.example"),
        ):
            address = Address.parse(text)
            self.assertEqual((address.local, address.domain), (local, domain))

    def test_domains_in_a_labels(self) -> None:
        for domain, a_labels in (
            ("EXAMPLE.com", "example.com"),
            ("B\u00dcCHER.example", "xn--bcher-kva.example"),
            # RFC 5891: a domain of its own, not strasse.example.
            ("stra\u00dfe.example", "xn--strae-oqa.example"),
            ("\u4f8b\u5b50.\u5e7f\u544a", "xn--fsqu00a.xn--4rr70v"),
            ("[192.0.2.1]", "[192.0.2.1]"),
        ):
            self.assertEqual(Address.parse(f"a@{domain}").ascii_domain, a_labels)

    def test_keys_compare(self) -> None:
        self.assertEqual(
            Address.parse("User@B\u00fccher.example").key,
            Address.parse("uSER@xn--BCHER-kva.example").key,
        )

    def test_P5_P7_a_local_part_that_is_quoted_without_need_is_the_same(self) -> None:
        for text, key in (
            ('"Ann.Lee"@a.example', "ann.lee@a.example"),
            ('"a\\b"@a.example', "ab@a.example"),
            ('"a b"@a.example', '"a b"@a.example'),
            ('"a\\ b"@a.example', '"a b"@a.example'),
            ('"a\\"b\\\\"@a.example', '"a\\"b\\\\"@a.example'),
            ('"a..b"@a.example', '"a..b"@a.example'),
            ('""@a.example', '""@a.example'),
        ):
            address = Address.parse(text)
            self.assertEqual(address.key, key)
            self.assertEqual(str(address), text)
            self.assertEqual(Address.parse(key).key, key)

    def test_wire(self) -> None:
        self.assertEqual(Address.parse("a@b\u00fccher.example").wire, "a@xn--bcher-kva.example")
        self.assertEqual(
            Address.parse("\u00e9@b\u00fccher.example").wire, "\u00e9@b\u00fccher.example"
        )
