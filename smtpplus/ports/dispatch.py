"""The relay, as whoever queues a message sees it."""

from __future__ import annotations

from collections.abc import Collection

from zope.interface import Interface

from smtpplus.values.message import Accepted

__all__ = ["IDispatch"]


class IDispatch(Interface):
    """The relay, as whoever queues a message sees it: no polling between accept and send."""

    def reserve(deliveries: int, domains: Collection[str] = ()) -> bool:
        """Is there room in memory for so many? If so it is kept until `dispatch` or `cancel`.

        There is none where too much waits already for one of the recipients' `domains` (O5).
        """

    def dispatch(accepted: Accepted) -> None:
        """The message is committed, its deliveries leased: attempt them. Uses the reservation.

        Those that are withheld are not attempted, and were not reserved for.
        """

    def cancel(deliveries: int) -> None:
        """The accept failed: give the reservation back."""

    def wake() -> None:
        """Something may be due in the store: look."""
