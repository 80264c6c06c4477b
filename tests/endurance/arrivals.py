"""The remote end: which recipient got which message how often, and whether it was whole."""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.endurance.load import Mail
from tests.live.recorder import Arrived, Recorder

__all__ = ["Arrivals"]

_SUBJECT = re.compile(rb"(?m)^Subject: (\S+)\r$")


class Arrivals(Recorder):
    """Keeps who, when and a digest of the body, no contents. `slow`: before each reply."""

    def __init__(
        self, test: SynchronousTestCase, slow: Callable[[Arrived], None] | None = None
    ) -> None:
        super().__init__(test, slow)
        self.times: Counter[str] = Counter()  # by recipient
        self.digests: dict[str, set[bytes]] = {}
        self.message_ids: dict[str, set[bytes]] = {}
        self.at: dict[str, float] = {}

    def take(self, arrived: Arrived) -> None:
        """Note it."""
        head, _, body = arrived.content.partition(b"\r\n\r\n")
        to = arrived.to
        self.times[to] += 1
        self.digests.setdefault(to, set()).add(hashlib.sha256(body).digest())
        found = re.findall(rb"(?mi)^Message-ID: (\S+)", head)
        self.message_ids.setdefault(to, set()).update(found)
        self.at.setdefault(to, time.monotonic())

    def __len__(self) -> int:
        return len(self.times)

    def faults_of(self, mail: Mail) -> list[str]:
        """What is wrong with what arrived of `mail`: missing, or another body."""
        body = mail.content().partition(b"\r\n\r\n")[2]
        digest = hashlib.sha256(body).digest()
        wrong = []
        for address in mail.addresses:
            if address not in self.times:
                wrong.append(f"{address} did not arrive")
            elif self.digests[address] != {digest}:
                wrong.append(f"{address} arrived with another body")
        return wrong
