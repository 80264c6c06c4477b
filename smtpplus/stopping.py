"""SIGTERM and SIGINT, when there are more than one.

Guarantees: the first ends the process in good order, as the reactor does it; what comes while it
stops changes nothing: it ends within its time anyway (D12), and a terminal's Ctrl-C reaches all
processes of a service, which the first tells to end besides. Raises nothing.
"""

from __future__ import annotations

import signal
from typing import Any

__all__ = ["stop_once"]


def stop_once(reactor: Any) -> None:
    """From now on. The reactor sets its own signals when it begins to run: after that."""
    begun = False

    def begin() -> None:
        nonlocal begun
        begun = True

    def heed(number: signal.Signals) -> None:
        first = signal.getsignal(number)

        def told(number: int, frame: Any) -> None:
            if not begun and callable(first):
                begin()
                first(number, frame)

        signal.signal(number, told)

    reactor.addSystemEventTrigger("before", "shutdown", begin)
    heed(signal.SIGTERM)
    heed(signal.SIGINT)
