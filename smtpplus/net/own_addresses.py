"""What this machine's addresses are good for, asked of the kernel; nothing is sent."""

from __future__ import annotations

import socket

__all__ = ["has_ipv6", "ipv6_takes_ipv4", "is_own_address"]


def has_ipv6() -> bool:
    """Is there a way to the IPv6 internet? By the routing table."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect(("2001:db8::1", 9))
    except OSError:
        return False
    return True


def ipv6_takes_ipv4() -> bool:
    """Does who listens on all IPv6 addresses have the port of all IPv4 addresses, too?"""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            return not probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return False


def is_own_address(ip: str) -> bool:
    """Is `ip` an address of this machine? Whoever may bind it, owns it."""
    if ip.startswith("127.") or ip == "::1":
        return False  # judged by rules.routing
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((ip, 0))
    except OSError:
        return False
    return True
