from __future__ import annotations

import json
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.log import LeastLevel, json_log
from smtpplus.smtp.events import PasswordOffered
from smtpplus.values.submission import ScramVerifier
from tests.log.payloads import payloads


class JsonLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[str] = []
        observer = json_log(self.lines.append, LeastLevel("info"))
        self.log = Logger("smtpplus.test", observer=observer)

    def written(self) -> dict[str, Any]:
        [line] = self.lines
        self.assertTrue(line.endswith("\n") and line.count("\n") == 1 and line.isascii())
        self.assertEqual([c for c in line[:-1] if c < " " or c == "\x7f"], [])
        found: dict[str, Any] = json.loads(line)
        return found

    def test_a_line_has_text_and_fields(self) -> None:
        self.log.info("taken {message_id} in {took_ms} ms", message_id="0abc", took_ms=1.25)
        line = self.written()
        self.assertEqual(line["text"], "taken 0abc in 1.25 ms")
        self.assertEqual((line["message_id"], line["took_ms"]), ("0abc", 1.25))
        self.assertEqual((line["level"], line["source"]), ("info", "smtpplus.test"))

    def test_control_characters_are_escaped(self) -> None:
        hostile = 'x\r\n{"level": "critical"}\x1b[2J\x7f\u2028\udce4'
        self.log.warn("HELO {name}", name=hostile)
        line = self.written()
        self.assertEqual((line["level"], line["name"]), ("warn", hostile))

    def test_texts_are_bounded(self) -> None:
        self.log.info("{name}", name="x" * 1_000_000)
        self.assertLess(len(self.lines[0]), 40_000)

    def test_odd_values_do_no_harm(self) -> None:
        class Hostile:
            def __str__(self) -> str:
                raise ValueError

        self.log.info("{a} {b.c} {d}", a=float("nan"), b=Hostile(), d=Hostile())
        self.written()

    def test_failures_bring_their_traceback(self) -> None:
        self.log.failure("gone", Failure(ValueError("why")))
        self.assertIn("ValueError: why", self.written()["traceback"])

    def test_less_than_the_level_is_left_out(self) -> None:
        self.log.debug("nothing")
        self.assertEqual(self.lines, [])

    def test_S17_no_payload_forges_a_line(self) -> None:
        lines = 0
        for payload in payloads(200):
            for write in (
                lambda text: self.log.info("HELO {hello} of {ip}", hello=text, ip="192.0.2.1"),
                lambda text: self.log.warn("refused: {reply}", reply=text),
                lambda text: self.log.error(text.replace("{", "").replace("}", "")),
                lambda text: self.log.failure("failed", Failure(ValueError(text))),
                lambda text: self.log.info("a field", message_id=text),
            ):
                self.lines.clear()
                write(payload)
                line = self.written()
                lines += 1
                self.assertEqual(line["source"], "smtpplus.test")
                self.assertNotEqual(line.get("forged"), True)
        self.assertEqual(lines, 1_000)

    def test_S17_secrets_of_values_are_never_shown(self) -> None:
        event = PasswordOffered("PLAIN", "user", "top-secret", "")
        verifier = ScramVerifier(b"salt", 4096, b"stored-secret", b"server-secret")
        self.log.info("{event} {verifier}", event=event, verifier=verifier)
        for secret in ("top-secret", "stored-secret", "server-secret"):
            self.assertNotIn(secret, self.lines[0])
