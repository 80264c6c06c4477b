"""Two services of ours that send each other the same domain's mail (S18)."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import folder_of
from tests.live.installation import Installation
from tests.live.peers import free_port, wait_for

_MAIL = "From: shop@example.com\r\nTo: x@example.net\r\nSubject: round\r\n\r\nand round\r\n"


class LoopTests(SynchronousTestCase):
    def test_S18_a_loop_ends_after_fifty_hops_with_one_report(self) -> None:
        here, there = free_port(), free_port()
        pair = [self._service("a", here, there), self._service("b", there, here)]
        for service in pair:
            service.start()
            service.cli("user", "set", service.username, "networks", "127.0.0.0/8")
        with pair[0].client() as client:
            client.sendmail("shop@example.com", ["x@example.net"], _MAIL)

        def reports() -> list[dict[str, Any]]:
            return [
                line for line in self._mail(pair) if line["text"].startswith("delivered to shop@")
            ]

        wait_for("the report", lambda: bool(reports()), 60)
        wait_for("empty queues", lambda: not any(one.cli("queue", "list") for one in pair), 20)
        lines = self._mail(pair)
        hops = [line for line in lines if line["event"] == "accepted" and line["sender"] != "<>"]
        bounced = [line for line in lines if line["event"] == "bounced"]
        self.assertLessEqual(len(hops), 50)
        self.assertGreater(len(hops), 40)
        self.assertEqual(
            [(line["status"], line["recipient"]) for line in bounced], [("5.4.6", "x@example.net")]
        )
        self.assertIn("554 5.4.6 Mail loop", bounced[0]["reply"])
        self.assertEqual(len(reports()), 1)
        self.assertEqual([line["sender"] for line in reports()], ["<>"])

    def _service(self, name: str, port: int, other: int) -> Installation:
        directory = folder_of(self) / name
        directory.mkdir(parents=True)
        settings = {
            "submission.listen": f'["127.0.0.1:{port}"]',
            "relay.routes": f'{{"example.net" = "127.0.0.1:{other}"}}',
        }
        return Installation(self, directory, settings)

    def _mail(self, pair: list[Installation]) -> list[dict[str, Any]]:
        """What the logs of both say about mail."""
        found = [
            json.loads(line) for one in pair for line in one.log().splitlines() if line[:1] == "{"
        ]
        return [line for line in found if line["source"] == "smtpplus.mail"]
