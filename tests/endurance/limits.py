"""D8, R1, R3, R5, T5: many connections, slow ones, large messages, few descriptors."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.endurance.arrivals import Arrivals
from tests.endurance.ground import Ground
from tests.endurance.house import House
from tests.endurance.load import Load, Mail, Talk, conversation
from tests.endurance.stock import stock
from tests.live.installation import trusting
from tests.live.peers import wait_for
from tests.live.zygote import Zygote

__all__ = [
    "few_descriptors",
    "half_open",
    "idle_connections",
    "large_messages",
    "long_queue",
    "slow_clients",
]

_MIB = 1 << 20


@contextlib.contextmanager
def _all_closed(sockets: list[socket.socket]) -> Iterator[list[socket.socket]]:
    try:
        yield sockets
    finally:
        for one in sockets:
            one.close()


def _greeted_after(port: int) -> float:
    """How long a new client waits for its banner."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        assert client.recv(3) == b"220"
    return time.monotonic() - begun


def _one_mail(house: House, name: str) -> float:
    """Seconds from connecting to 250."""
    begun = time.monotonic()
    load = Load(house.submission, [Mail(name)], threads=1).start().wait()
    assert len(load.accepted) == 1, load.refused
    return time.monotonic() - begun


def idle_connections(ground: Ground, zygote: Zygote, plain: int, secured: int) -> str:
    """R1: so many idle connections; memory, and how a new client fares."""
    house = House(ground, Arrivals(ground.test).port, zygote=zygote, wide=True)
    house.start()
    _one_mail(house, "first")
    before = house.memory_kib()
    with _all_closed([]) as sockets:
        for _ in range(plain):
            client = socket.create_connection(("127.0.0.1", house.submission), 30)
            sockets.append(client)
        for client in sockets:
            assert client.recv(3) == b"220"
        middle = house.memory_kib()

        def handshake(_: int) -> ssl.SSLSocket:
            address = ("127.0.0.1", house.submission_tls)
            secured = trusting().wrap_socket(socket.create_connection(address, 60))
            assert secured.recv(3) == b"220"
            return secured

        with ThreadPoolExecutor(8) as pool:
            sockets.extend(pool.map(handshake, range(secured)))
        after = house.memory_kib()
        greeted = max(_greeted_after(house.submission) for _ in range(5))
        _one_mail(house, "beside")
    wait_for("the connections to end", lambda: house.descriptors() < 100)
    house.kill()
    each = (middle - before) / max(plain, 1)
    each_tls = (after - middle) / max(secured, 1)
    assert greeted <= 1.0, greeted
    assert after <= 250 * 1024, after
    return (
        f"{plain} plain and {secured} TLS: {after / 1024:.0f} MiB resident (before {before / 1024:.0f};"
        f" {each:.1f} KiB a plain one, {each_tls:.1f} KiB a TLS one), banner within "
        f"{greeted * 1000:.0f} ms"
    )


def half_open(ground: Ground, zygote: Zygote, number: int) -> str:
    """T5: clients that begin a handshake and stop; R3 beside it: clients that dribble."""
    house = House(ground, Arrivals(ground.test).port, zygote=zygote, wide=True)
    house.start()
    _one_mail(house, "first")
    before = house.memory_kib()
    with _all_closed([]) as sockets:
        begun = time.monotonic()
        for _ in range(number):
            client = socket.create_connection(("127.0.0.1", house.submission_tls), 30)
            client.sendall(b"\x16\x03\x01\x02\x00\x01")  # the first octets of a ClientHello
            sockets.append(client)
        wait_for("all to be taken", lambda: house.descriptors() > number)
        grown = house.memory_kib() - before
        greeted = max(_greeted_after(house.submission) for _ in range(20))
        _one_mail(house, "beside")
        wait_for("them to be closed", lambda: house.descriptors() < number, 40)
        closed = time.monotonic() - begun
    wait_for("all to be closed", lambda: house.descriptors() < 100)
    house.kill()
    assert grown <= 100 * 1024, grown
    assert greeted <= 1.0, greeted
    assert closed <= 33.0, closed
    return (
        f"{number} half-open handshakes: {grown / 1024:.1f} MiB more, banner within "
        f"{greeted * 1000:.0f} ms, closed after {closed:.1f} s"
    )


def slow_clients(ground: Ground, zygote: Zygote, number: int, *, most_seconds: float) -> str:
    """R3: clients that send an octet every 10 s, in a command and in content."""
    house = House(ground, Arrivals(ground.test).port, zygote=zygote, wide=True)
    house.start()
    usual = conversation(house.submission)
    alone = [_accepted_after(usual) for _ in range(200)]
    beside: list[float] = []
    ages: list[float] = []  # of those that were closed
    with _all_closed([usual.socket]) as sockets, selectors.DefaultSelector() as alive:
        for n in range(number):
            talk = conversation(house.submission)
            if n % 2:
                talk.socket.sendall(
                    b"MAIL FROM:<shop@example.com>\r\nRCPT TO:<a@example.net>\r\nDATA\r\n"
                )
                talk.replies(3)
            sockets.append(talk.socket)
            alive.register(talk.socket, selectors.EVENT_READ, time.monotonic())
        begun = octet_at = time.monotonic()
        while alive.get_map() and time.monotonic() - begun < most_seconds:
            if time.monotonic() >= octet_at:
                octet_at += 10.0
                for key in alive.get_map().values():
                    with contextlib.suppress(OSError):  # closed: it is seen below
                        key.fileobj.sendall(b"x")  # type: ignore[union-attr]
            for key, _ in alive.select(0.2):  # 421, or its end
                ages.append(time.monotonic() - key.data)
                alive.unregister(key.fileobj)
            beside.append(_accepted_after(usual))
        left = len(alive.get_map())
    house.kill()
    assert not left or most_seconds < 300, f"{left} of {number} are open after {most_seconds} s"
    assert max(ages, default=0) <= 300.0, f"one was closed after {max(ages):.1f} s"
    before, after = (_percentile(one, 99) * 1000 for one in (alone, beside))
    return (
        f"{number} slow clients: {len(ages)} closed, each within {max(ages, default=0):.1f} s, {left} "
        f"open after {most_seconds:.0f} s; end of data to 250, p99: {before:.1f} ms alone, "
        f"{after:.1f} ms beside them ({len(beside)} messages)"
    )


def _accepted_after(talk: Talk) -> float:
    """Seconds from the end of a message of a kept connection to its 250."""
    for command in (b"MAIL FROM:<shop@example.com>", b"RCPT TO:<a@example.net>", b"DATA"):
        talk.socket.sendall(command + b"\r\n")
        talk.replies(1)
    begun = time.monotonic()
    talk.socket.sendall(b"From: shop@example.com\r\n\r\n" + b"x" * 70 + b"\r\n.\r\n")
    (reply,) = talk.replies(1)
    assert reply.startswith("250"), reply
    return time.monotonic() - begun


def _percentile(seconds: list[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100)[percent - 1]


def few_descriptors(ground: Ground, clients: int = 300, limit: int = 256) -> str:
    """D8: more clients than descriptors."""
    arrivals = Arrivals(ground.test)
    house = House(ground, arrivals.port, wide=True)
    house.prefix = ["prlimit", f"--nofile={limit}:{limit}"]
    house.start()
    _one_mail(house, "first")
    with _all_closed([]) as sockets:
        for _ in range(clients):
            client = socket.create_connection(("127.0.0.1", house.submission), 30)
            client.setblocking(False)
            sockets.append(client)
        time.sleep(1)
        used = house.processor_seconds()
        time.sleep(3)
        busy = (house.processor_seconds() - used) / 3
        assert not house.has_ended()
        descriptors = house.descriptors()
    begun = time.monotonic()
    Load(house.submission, [Mail("after")], threads=1, patient=True).start().wait(30)
    seconds = time.monotonic() - begun
    wait_for("delivery", lambda: len(arrivals) == 2)
    house.kill()
    assert not house.tracebacks(), house.tracebacks()[:2]
    assert busy < 0.2, busy
    assert seconds <= 5.0, seconds
    return (
        f"{clients} clients on {limit} descriptors: {descriptors} in use, {busy:.0%} of a processor, "
        f"a message taken {seconds:.1f} s after they left"
    )


def long_queue(
    ground: Ground, waiting: int, messages: int, *, most_mib: float, least: float
) -> str:
    """D11: memory, and how quick the intake is, with so many deferred.

    `least` of the rate without them has to be left, the best of three each time.
    """
    house = House(ground, Arrivals(ground.test).port)
    house.start()

    def rate(number: int) -> float:
        mails = [Mail(f"rate-{number}-{n}") for n in range(messages)]
        begun = time.monotonic()
        load = Load(house.submission, mails, threads=16).start().wait(300)
        assert len(load.accepted) == messages, load.codes()
        seconds = time.monotonic() - begun
        wait_for("delivery", lambda: house.waiting() == (waiting if number > 2 else 0), 300)
        return messages / seconds

    alone = max(rate(number) for number in range(3))
    house.stop()
    stock(house, waiting, "later.example.net", 86_400.0)
    begun = time.monotonic()
    house.start()
    seconds = time.monotonic() - begun
    house.forget_peak()
    beside = max(rate(number) for number in range(3, 6))
    mebibytes = house.memory_kib(peak=True) / 1024
    house.stop()
    told = (
        f"{waiting} deferred: ready after {seconds:.1f} s, at most {mebibytes:.0f} MiB resident, "
        f"{beside:.0f} messages taken a second, {alone:.0f} without them"
    )
    assert mebibytes <= most_mib, told
    assert beside >= least * alone, told
    return told


def large_messages(ground: Ground, zygote: Zygote, number: int, mebibytes: int) -> str:
    """R5: so many large messages at once, in and out."""
    octets = mebibytes * _MIB
    arrivals = Arrivals(ground.test)
    house = House(
        ground,
        arrivals.port,
        zygote=zygote,
        submission__max_message_bytes=str(octets * 2),
    )
    house.start()
    _one_mail(house, "first")
    before = house.memory_kib()
    house.forget_peak()
    mails = [Mail(f"large-{n}", octets=octets) for n in range(number)]
    wanted = list(mails)
    load = Load(house.submission, mails, threads=number, timeout=300).start().wait(600)
    assert len(load.accepted) == number, load.refused
    wait_for("delivery", lambda: house.waiting() == 0, 600)
    grown = house.memory_kib(peak=True) - before
    house.kill()
    for mail in wanted:
        assert not arrivals.faults_of(mail), arrivals.faults_of(mail)
    assert grown <= 100 * 1024, grown
    return (
        f"{number} times {mebibytes} MiB at once, in and out: at most {grown / 1024:.1f} MiB more"
    )
