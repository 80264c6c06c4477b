"""The relay, as whoever queues a message sees it."""

from __future__ import annotations

from collections.abc import Collection

from zope.interface import Interface

from smtpplus.values.message import Accepted

__all__ = ["IDispatch"]


class IDispatch(Interface):
    """The relay, as whoever queues a message sees it: no polling between accept and send."""

    def reserve(deliveries: int, domains: Collection[str] = (), priority: int = 3) -> bool:
        """Is there room in memory for so many? If so it is kept until `dispatch` or `cancel`.

        There is none where too much waits already for one of the recipients' `domains` (O5);
        for the priorities 1 and 2 there is room of their own (P13). Room is asked for what may
        leave now alone (`Accepted.at_once`).
        """

    def dispatch(accepted: Accepted) -> None:
        """The message is committed: attempt what of it is leased. Uses the reservation.

        Those that are withheld or scheduled are not attempted, and were not reserved for.
        """

    def cancel(deliveries: int, priority: int = 3) -> None:
        """The accept failed: give the reservation back."""

    def wake(at: float = 0.0) -> None:
        """Something may be due in the store at the time `at`: look then; 0: now."""
