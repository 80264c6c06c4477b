"""What of a new configuration holds at once (C3)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.config import Config, load
from smtpplus.reload import reloaded


def config(*settings: str) -> Config:
    return load(None, ["server.data_dir=/d", *settings])


class ReloadTests(SynchronousTestCase):
    def test_what_can_change_does_and_what_cannot_keeps_its_value(self) -> None:
        old = config("submission.listen_tls=[]")
        new = config(
            "submission.listen_tls=[]",
            "relay.tls=require",
            "log.level=debug",
            "submission.max_recipients=7",
            "submission.listen=127.0.0.1:99",
            "server.hostname=other.example",
        )
        found = reloaded(old, new)
        self.assertEqual(
            set(found.changed), {"relay.tls", "log.level", "submission.max_recipients"}
        )
        self.assertEqual(set(found.waiting), {"server.hostname", "submission.listen"})
        self.assertEqual(found.config.relay.tls, "require")
        self.assertEqual(found.config.submission.listen, old.submission.listen)
        self.assertEqual(found.config.server, old.server)

    def test_the_sandbox_and_tls_as_such_wait_for_a_restart(self) -> None:
        old = config("submission.listen_tls=[]")
        for settings, changed, waiting in (
            (["relay.deliver=sandbox"], (), ("relay.deliver",)),
            (["relay.deliver=smarthost", "relay.smarthost=a.example:25"], 2, ()),
            (
                ["submission.certificate=/c", "submission.private_key=/k"],
                (),
                ("submission.certificate", "submission.private_key"),
            ),
        ):
            found = reloaded(old, config("submission.listen_tls=[]", *settings))
            self.assertEqual(found.waiting, waiting)
            if changed == ():
                self.assertEqual(found.changed, ())
                self.assertEqual(found.config.relay, old.relay)

    def test_nothing_new_is_nothing_changed(self) -> None:
        old = config("submission.listen_tls=[]")
        found = reloaded(old, old)
        self.assertEqual((found.changed, found.waiting, found.config), ((), (), old))
