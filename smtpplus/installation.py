"""An installation seen from outside its service: the store, opened for one command at a time.

Guarantees: everything happens at once in the calling thread, beside a running service, which
notices within 2 s. Raises UsageError where the store is missing or of another version, and
what the ports raise. Does not take the service's lock and starts no thread.
"""

from __future__ import annotations

import binascii
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from zope.interface import implementer

from smtpplus.config import Config
from smtpplus.ports import (
    IAccounts,
    ICampaigns,
    IClock,
    IHistory,
    IPeople,
    IQueue,
    IRecipients,
    ISandbox,
    ISuppressions,
)
from smtpplus.store.access import check_access
from smtpplus.store.store import open_store_blocking, run
from smtpplus.values.errors import UsageError, reason

__all__ = ["BlockingClock", "Installation", "open_installation", "read_secret", "run"]

_LEAST_SECRET_OCTETS = 16


@dataclass(frozen=True, slots=True)
class Installation:
    """The ports a command works with, by `run`. `secret` is the installation's own."""

    config: Config
    secret: bytes
    accounts: IAccounts
    people: IPeople
    history: IHistory
    queue: IQueue
    recipients: IRecipients
    suppressions: ISuppressions
    campaigns: ICampaigns
    sandbox: ISandbox


@implementer(IClock)
class BlockingClock:
    """Time for a command, which has no reactor: waiting blocks."""

    def now(self) -> float:
        """See `IClock.now`."""
        return time.time()

    def monotonic(self) -> float:
        """See `IClock.monotonic`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `IClock.sleep`."""
        time.sleep(seconds)  # noqa: ASYNC251 - nothing else runs here

    def call_later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """See `IClock.call_later`."""
        raise RuntimeError("nothing happens later in a command")


def read_secret(config: Config) -> bytes:
    """The installation's secret.

    Raises:
        UsageError: it is missing, may not be read, or is no secret of ours.
    """
    path = config.secret_key_file
    check_access(path, write=False)
    try:
        secret = binascii.unhexlify(path.read_text(encoding="ascii").strip())
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no {path}. Set up an installation with `smtpplus init DIR`, or name the "
            "configuration of one with --config. If it was lost, take it from a backup; if there "
            "is none, write 64 hexadecimal digits into it (`openssl rand -hex 32`), then "
            "`smtpplus migrate --new-secret`, and make new DKIM keys."
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read as the installation's secret: {reason(error)}."
        ) from error
    if len(secret) < _LEAST_SECRET_OCTETS:
        raise UsageError(
            f"{path} is no secret of an installation: expected 64 hexadecimal digits, at least "
            f"{2 * _LEAST_SECRET_OCTETS}."
        )
    return secret


@contextlib.contextmanager
def open_installation(config: Config, *, make: bool = False) -> Iterator[Installation]:
    """Open the store of `config`; with `make` it is made first where there is none."""
    secret = read_secret(config)
    store = open_store_blocking(
        config.store_url,
        config.server.data_dir,
        clock=BlockingClock(),
        secret=secret,
        create=make,
    )
    try:
        yield Installation(
            config,
            secret,
            store.accounts,
            store.people,
            store.history,
            store.queue,
            store.recipients,
            store.suppressions,
            store.campaigns,
            store.sandbox,
        )
    finally:
        run(store.close())
