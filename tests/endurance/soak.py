"""R11, C6: a long run; memory and descriptors stay flat, and the reactor answers."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass, field

from tests.endurance.ground import Ground
from tests.endurance.house import House
from tests.endurance.ledger import read_ledger
from tests.endurance.load import conversation
from tests.live.peers import Peer, answers, free_port, needs, wait_for
from tests.live.zygote import Zygote

__all__ = ["Soak", "soak"]

_PIECE = 1_000


@dataclass
class Soak:
    """What was seen after each piece of the run."""

    messages: int = 0
    arrived: int = 0  # as smtp-sink counts
    seconds: float = 0.0
    memory_kib: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    probes_ms: list[float] = field(default_factory=list)

    @property
    def slope_kib(self) -> float:
        """KiB more for each 10,000 messages, after the first third (warm-up)."""
        warm = self.memory_kib[len(self.memory_kib) // 3 :]
        if len(warm) < 3:
            return 0.0
        slope, _ = statistics.linear_regression(range(len(warm)), warm)
        return slope * 10_000 / _PIECE

    def __str__(self) -> str:
        cuts = statistics.quantiles(self.probes_ms, n=1000) if len(self.probes_ms) > 10 else [0.0]
        return (
            f"{self.messages} messages in {self.seconds:.0f} s, {self.arrived} arrived; resident {self.memory_kib[0] // 1024} "
            f"to {self.memory_kib[-1] // 1024} MiB (most {max(self.memory_kib) // 1024}), "
            f"{self.slope_kib:+.0f} KiB for each 10,000; descriptors {self.descriptors[0]} to "
            f"{self.descriptors[-1]} (most {max(self.descriptors)}); NOOP beside it, {len(self.probes_ms)} "
            f"times: median {statistics.median(self.probes_ms):.1f} ms, p99.9 {cuts[-1]:.0f} ms, most "
            f"{max(self.probes_ms):.0f} ms"
        )


def soak(ground: Ground, zygote: Zygote, messages: int) -> Soak:
    """Send so many through the service, with Postfix's source and sink."""
    source, sink, port = needs("smtp-source"), needs("smtp-sink"), free_port()
    user = ["-u", "postfix"] if os.getuid() == 0 else []
    command = [sink, *user, "-c", f"127.0.0.1:{port}", "500"]
    Peer(ground.test, command, ground.directory / "sink.log")
    wait_for("smtp-sink", lambda: answers(port))
    house = House(ground, port, zygote=zygote)
    house.start()
    found, stop = Soak(), threading.Event()
    probe = threading.Thread(target=_probe, args=(house.submission, found, stop), daemon=True)
    probe.start()
    begun = time.monotonic()
    where = f"127.0.0.1:{house.submission}"
    for piece in range(max(messages // _PIECE, 1)):
        command = [source, "-m", str(_PIECE), "-s", "10", "-l", "5000", "-f", "shop@example.com"]
        command += ["-d", "-t", f"p{piece}@example.net", where]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.messages += _PIECE
        wait_for("the queue", lambda: house.waiting() < 5_000, 120)
        found.memory_kib.append(house.memory_kib())
        found.descriptors.append(house.descriptors())
        if found.messages % 20_000 == 0:
            print(f"{time.monotonic() - begun:.0f} s: {found}", flush=True)
    wait_for("an empty queue", lambda: house.waiting() == 0, 120)
    found.seconds = time.monotonic() - begun
    stop.set()
    probe.join(10)
    house.settle_down()
    ledger = read_ledger(house.queue)
    assert not ledger.faults, ledger.faults[:5]
    assert not house.tracebacks(), house.tracebacks()[:2]
    counts = re.findall(r"\d+", (ground.directory / "sink.log").read_text())
    found.arrived = int(counts[-1]) if counts else 0
    return found


def _probe(port: int, found: Soak, stop: threading.Event) -> None:
    """NOOP again and again, on a connection of its own."""
    talk = conversation(port)
    number = 0
    while not stop.wait(0.02):
        number += 1
        begun = time.monotonic()
        talk.socket.sendall(b"NOOP\r\n")
        if not talk.replies(1)[0].startswith("250"):
            return
        found.probes_ms.append((time.monotonic() - begun) * 1000)
        if number % 80 == 79:  # 100 commands without a message are too many
            talk.socket.close()
            talk = conversation(port)
    talk.socket.close()
