"""How often one address may ask: a rate with room for bursts, for as many addresses as come.

The generic cell rate algorithm: of each address one moment is kept, when its last request would
be paid for. An IPv6 customer counts as one (`smtpplus.rules.throttle.address_group`).

Guarantees: pure but for its own memory, which is bounded (the least recently used is forgotten:
an address that comes back after that begins anew). Raises nothing.
"""

from __future__ import annotations

from collections import OrderedDict

from smtpplus.rules.throttle import address_group

__all__ = ["AddressRates"]


class AddressRates:
    """Counts requests.

    Args:
        per_second: what an address may ask for ever.
        burst: what it may ask at once.
        most_addresses: how many are remembered.
    """

    __slots__ = ("_most", "_paid_at", "_room", "_span")

    def __init__(self, per_second: float, burst: int, most_addresses: int = 20_000) -> None:
        self._span = 1.0 / per_second
        self._room = burst * self._span
        self._most = most_addresses
        self._paid_at: OrderedDict[str, float] = OrderedDict()

    def wait_seconds(self, ip: str, now: float) -> float:
        """0.0: the request is admitted, and counted; else how long until the next one would be.

        Args:
            ip: the address.
            now: seconds of a clock that never jumps.
        """
        key = address_group(ip)
        paid_at = max(self._paid_at.get(key, now), now) + self._span
        wait = paid_at - now - self._room
        if wait > 1e-9:
            return wait
        self._paid_at[key] = paid_at
        self._paid_at.move_to_end(key)
        if len(self._paid_at) > self._most:
            self._paid_at.popitem(last=False)
        return 0.0
