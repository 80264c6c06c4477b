"""HOLDFOR, HOLDUNTIL, BY and MT-PRIORITY of MAIL (P10, P13)."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.client_commands import mail_command
from smtpplus.smtp.events import MailReceived
from smtpplus.values.address import Address
from smtpplus.values.envelope import ByMode, DeliverBy, Envelope
from tests.smtp.pump import Pump, settings

NOW = 1_794_294_000.0  # 2026-11-10T07:00:00Z
OFFERED = {"longest_hold": 86_400, "shortest_by": 10, "mt_priority": True}


def _pump(**changes: Any) -> Pump:
    pump = Pump(settings(**{**OFFERED, **changes}), now=lambda: NOW)
    pump.send(b"EHLO c\r\n")
    return pump


def _mail(parameters: str, **changes: Any) -> tuple[str, MailReceived | None]:
    pump = _pump(**changes)
    (reply,) = pump.send(f"MAIL FROM:<a@b> {parameters}\r\n".encode())
    return reply, next((one for one in pump.events if isinstance(one, MailReceived)), None)


class ServerTests(SynchronousTestCase):
    def test_what_is_offered_stands_in_EHLO_with_its_limits(self) -> None:
        pump = Pump(settings(**OFFERED), now=lambda: NOW)
        (reply,) = pump.send(b"EHLO c\r\n")
        for line in ("FUTURERELEASE 86400 2026-11-11T07:00:00Z", "DELIVERBY 10", "MT-PRIORITY"):
            self.assertIn(line, reply.replace("\r\n", "\n"))
        (reply,) = Pump().send(b"EHLO c\r\n")
        for word in ("FUTURERELEASE", "DELIVERBY", "MT-PRIORITY"):
            self.assertNotIn(word, reply)

    def test_what_is_not_offered_is_refused(self) -> None:
        none = {"longest_hold": 0, "shortest_by": None, "mt_priority": False}
        for parameter in ("HOLDFOR=5", "HOLDUNTIL=2026-11-10T08:00:00Z", "BY=5;N", "MT-PRIORITY=1"):
            reply, _ = _mail(parameter, **none)
            self.assertTrue(reply.startswith("555 5.5.4"), reply)

    def test_P10_what_is_taken(self) -> None:
        table = (
            ("HOLDFOR=1", {"hold_for": 1}),
            ("holdfor=86400", {"hold_for": 86_400}),
            ("HOLDUNTIL=2026-11-10T08:00:00Z", {"hold_until": NOW + 3600}),
            ("HOLDUNTIL=2026-11-10T09:00:00.5+01:00", {"hold_until": NOW + 3600.5}),
            ("HOLDUNTIL=2026-11-10t07:59:60z", {"hold_until": NOW + 3600}),
            ("HOLDUNTIL=1996-11-10T08:00:00Z", {"hold_until": 847_612_800.0}),
            ("BY=10;R", {"deliver_by": DeliverBy(10, ByMode.RETURN)}),
            ("BY=+120;rt", {"deliver_by": DeliverBy(120, ByMode.RETURN, trace=True)}),
            ("BY=-999999999;NT", {"deliver_by": DeliverBy(-999_999_999, ByMode.NOTIFY, True)}),
            ("MT-PRIORITY=-9", {"mt_priority": -9}),
            ("MT-PRIORITY=0", {"mt_priority": 0}),
            ("HOLDFOR=60 BY=61;R MT-PRIORITY=9", {"hold_for": 60, "mt_priority": 9}),
            ("HOLDFOR=60 BY=5;N", {"hold_for": 60}),
        )
        for parameters, expected in table:
            reply, mail = _mail(parameters)
            self.assertTrue(reply.startswith("250"), (parameters, reply))
            for name, value in expected.items():
                self.assertEqual(getattr(mail, name), value, parameters)

    def test_P10_what_is_refused(self) -> None:
        table = (
            *("HOLDFOR", "HOLDFOR=0", "HOLDFOR=-1", "HOLDFOR=86401", "HOLDFOR=1234567890"),
            *("HOLDFOR=+5", "HOLDFOR=5s", "HOLDFOR=\u0665", "HOLDFOR=5 HOLDFOR=6"),
            *("HOLDUNTIL", "HOLDUNTIL=2026-11-11T07:00:01Z", "HOLDUNTIL=2026-11-10T08:00:00"),
            *("HOLDUNTIL=2026-13-10T08:00:00Z", "HOLDUNTIL=2026-11-10T08:00:61Z"),
            *("HOLDUNTIL=1794294000", "HOLDUNTIL=9999-12-31T23:59:59-23:59"),
            *("HOLDFOR=5 HOLDUNTIL=2026-11-10T08:00:00Z", "BY", "BY=5", "BY=;R", "BY=5;X"),
            *("BY=9;R", "BY=0;R", "BY=-5;R", "BY=1234567890;N", "BY=5;NN", "BY=60;R HOLDFOR=60"),
            *("MT-PRIORITY", "MT-PRIORITY=10", "MT-PRIORITY=-10", "MT-PRIORITY=+1"),
            *("MT-PRIORITY=-0", "MT-PRIORITY=01", "MT-PRIORITY=x"),
        )
        for parameters in table:
            reply, mail = _mail(parameters)
            self.assertTrue(reply.startswith("501 5.5.4"), (parameters, reply))
            self.assertIsNone(mail, parameters)

    @given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40))
    def test_whatever_is_said_is_answered_and_within_the_limits(self, value: str) -> None:
        for word in ("HOLDFOR", "HOLDUNTIL", "BY", "MT-PRIORITY"):
            reply, mail = _mail(f"{word}={value}")
            self.assertIn(reply[:3], {"250", "501"})
            if mail is not None:
                self.assertLessEqual(mail.hold_for or 0, 86_400)
                self.assertLessEqual(mail.hold_until or 0.0, NOW + 86_400)
                self.assertLessEqual(abs(mail.mt_priority or 0), 9)


class ClientTests(SynchronousTestCase):
    def test_what_is_passed_on_where_it_is_offered(self) -> None:
        envelope = Envelope(
            Address("a", "b.example"),
            hold_for=5,
            hold_until=NOW,
            deliver_by=DeliverBy(-3, ByMode.NOTIFY, trace=True),
            mt_priority=-4,
        )
        plain = "MAIL FROM:<a@b.example>"
        table = (
            ({"FUTURERELEASE"}, plain),
            ({"DELIVERBY"}, f"{plain} BY=-3;NT"),
            ({"MT-PRIORITY"}, f"{plain} MT-PRIORITY=-4"),
            ({"DELIVERBY", "MT-PRIORITY"}, f"{plain} BY=-3;NT MT-PRIORITY=-4"),
        )
        for offered, expected in table:
            self.assertEqual(mail_command(envelope, 0, offered), expected)

    def test_what_was_given_comes_back(self) -> None:
        for text in ("60;R", "-60;N", "0;NT", "999999999;RT"):
            self.assertEqual(str(DeliverBy.parse(text)), text)
