from __future__ import annotations

from dataclasses import FrozenInstanceError

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.values.address import Address
from smtpplus.values.options import MergeSyntax, Options, RecipientOptions, Utm

ADA = RecipientOptions(Address.parse("Ada@example.com"), "Ada", {"n": "1"}, 5.0)
FULL = Options(
    campaign_code="c",
    tags=("a",),
    footer=False,
    send_at=1.5,
    recipients=(ADA, RecipientOptions(Address.parse("b@example.com"))),
    replaces_envelope=True,
    fields={"x": "y"},
    merge=(MergeSyntax.DASHES,),
    metadata={"k": "v"},
    utm=Utm(source="s", domains=("example.com",)),
    unknown=("X-MC-Foo",),
)


class OptionsTests(SynchronousTestCase):
    def test_nothing_is_said_at_first(self) -> None:
        self.assertEqual(Options().said(), {})

    def test_false_and_nothing_differ(self) -> None:
        self.assertEqual(Options(footer=False, utm=Utm()).said(), {"footer": False, "utm": Utm()})

    def test_through_json_and_back(self) -> None:
        for options in (FULL, Options()):
            for kept in (options, options.said()):
                text = msgspec.json.encode(kept)
                self.assertEqual(msgspec.json.decode(text, type=Options), options)
        self.assertEqual(msgspec.json.encode(Options().said()), b"{}")

    def test_frozen(self) -> None:
        with self.assertRaises(FrozenInstanceError):
            FULL.footer = True  # type: ignore[misc]

    def test_by_key(self) -> None:
        twice = Options(recipients=(ADA, RecipientOptions(Address.parse("ada@Example.com"))))
        self.assertEqual(twice.by_key(), {"ada@example.com": ADA})
