"""Ports that several processes share."""

from __future__ import annotations

import contextlib
import os
import socket

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.bound import BoundPorts
from smtpplus.values.errors import ConfigError


class BoundPortsTests(SynchronousTestCase):
    """Sockets, no reactor."""

    def test_each_sibling_has_a_socket_on_the_same_address(self) -> None:
        bound = BoundPorts()
        self.addCleanup(bound.close)
        bound.bind("127.0.0.1", 0, siblings=2)
        ports = set()
        for number in (1, 2):
            ((where, descriptor),) = bound.of_sibling(number).items()
            self.assertEqual(where, "127.0.0.1|0")
            with socket.socket(fileno=os.dup(descriptor)) as one:
                ports.add(one.getsockname())
        self.assertEqual(len(ports), 1)

    def test_what_another_process_bound_can_be_adopted(self) -> None:
        bound, adopting = BoundPorts(), BoundPorts()
        bound.bind("::1" if socket.has_ipv6 and _has_loopback6() else "127.0.0.1", 0, siblings=1)
        copies = {where: os.dup(one) for where, one in bound.of_sibling(1).items()}
        adopting.adopt(copies)
        adopting.close()
        bound.close()
        for descriptor in copies.values():
            self.assertRaises(OSError, os.fstat, descriptor)

    def test_an_address_that_somebody_else_has_is_refused(self) -> None:
        for options in ((), (socket.SO_REUSEPORT,)):
            with contextlib.closing(socket.socket()) as other:
                for option in options:
                    other.setsockopt(socket.SOL_SOCKET, option, 1)
                other.bind(("127.0.0.1", 0))
                other.listen()
                port = other.getsockname()[1]
                error = self.assertRaises(
                    ConfigError, BoundPorts().bind, "127.0.0.1", port, siblings=1
                )
                self.assertIn(str(port), str(error))


def _has_loopback6() -> bool:
    with contextlib.closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
        return True
