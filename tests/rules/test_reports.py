"""Who is told what (RFC 3461 §4.1; DS2, DR2, A9)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.reports import Told, wants_report
from smtpplus.values.address import Address
from smtpplus.values.envelope import Envelope, EnvelopeRecipient, Notify

_RECIPIENT = Address("b", "example.net")


class ReportTests(SynchronousTestCase):
    def _told(self, *notify: Notify, sender: Address | None = _RECIPIENT) -> set[Told]:
        recipient = EnvelopeRecipient(_RECIPIENT, frozenset(notify) if notify else None)
        envelope = Envelope(sender, (recipient,))
        return {told for told in Told if wants_report(envelope, recipient, told)}

    def test_without_notify_failures_and_delays_are_told(self) -> None:
        self.assertEqual(self._told(), {Told.FAILED, Told.DELAYED, Told.LATE})

    def test_DS2_never_is_never(self) -> None:
        self.assertEqual(self._told(Notify.NEVER), set())

    def test_only_what_was_asked_for(self) -> None:
        self.assertEqual(self._told(Notify.SUCCESS), {Told.RELAYED})
        self.assertEqual(self._told(Notify.FAILURE), {Told.FAILED})
        self.assertEqual(
            self._told(Notify.DELAY, Notify.SUCCESS), {Told.DELAYED, Told.LATE, Told.RELAYED}
        )

    def test_DR2_A9_nothing_about_a_report(self) -> None:
        self.assertEqual(self._told(sender=None), set())
        self.assertEqual(self._told(Notify.FAILURE, Notify.SUCCESS, sender=None), set())
