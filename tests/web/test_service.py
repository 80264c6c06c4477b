"""The service on a real port, asked by a real client."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, readBody

from smtpplus.web.service import WebService
from tests.web.browser import PageTestCase


class ServiceTests(TestCase):
    def setUp(self) -> None:
        self.pages = PageTestCase("run_now")
        self.pages.mktemp = self.mktemp  # type: ignore[method-assign]
        self.pages.addCleanup = self.addCleanup  # type: ignore[method-assign]
        self.pages.setUp()
        ports, settings = self.pages.ports, self.pages.settings
        self.service = WebService(ports, settings, reactor, "127.0.0.1:0")

    async def test_it_answers_and_stops_with_nothing_left(self) -> None:
        self.service.startService()
        url = f"http://127.0.0.1:{self.service.port}/healthz".encode()
        answer: Any = await Agent(reactor).request(b"GET", url)
        body = await readBody(answer)
        self.assertEqual((answer.code, body), (200, b"ok\n"))
        stopped: Deferred[None] = self.service.stopService()
        await stopped
        self.assertEqual(self.service.port, 0)
