"""Signing a copy: by which keys, over what, in which thread (DK1).

Guarantees: RSA runs in the signing threads, and so does the digest of a large body. Raises what
the accounts raise, and SmtpplusError for a key that does not open.
"""

from __future__ import annotations

from collections.abc import Sequence

from smtpplus.message import dkim
from smtpplus.message.headers import HeaderField
from smtpplus.ports import IAccounts, IBody, IClock, IWorkers
from smtpplus.values.message import Message
from smtpplus.values.submission import DkimKey

__all__ = ["Signer"]

_LARGE = 256 * 1024  # octets; a longer body is digested in a thread


class Signer:
    """Signs by the accounts' keys.

    Args:
        accounts: for the keys.
        threads: worker threads for RSA.
        clock: the time that signatures carry.
        relay_domains: the installation's own: the first with a key makes the second signature.
    """

    def __init__(
        self,
        accounts: IAccounts,
        threads: IWorkers,
        clock: IClock,
        relay_domains: tuple[str, ...],
    ) -> None:
        self._accounts = accounts
        self._threads = threads
        self._clock = clock
        self.relay_domains = relay_domains
        self._loaded: dict[int, dkim.SigningKey] = {}

    async def keys(self, message: Message) -> list[DkimKey]:
        """The From domain's key, and the installation's own where it has one (DK1)."""
        keys = []
        own = await self._accounts.signing_key(message.from_domain)
        if own is not None:
            keys.append(own)
        for domain in self.relay_domains:
            key = await self._accounts.signing_key(domain)
            if key is not None:
                if key != own:
                    keys.append(key)
                break
        return keys

    async def digest(self, body: bytes) -> bytes:
        """The body hash of a body in memory."""
        if len(body) > _LARGE:
            return await self._threads.run(_digest, body)
        return _digest(body)

    async def digest_of(self, body: IBody) -> bytes:
        """The same of one that is read; it is closed."""
        digest = dkim.BodyHash()
        try:
            while chunk := await body.next_chunk():
                digest.update(chunk)
        finally:
            body.close()
        return digest.digest()

    async def signature(self, fields: Sequence[HeaderField], digest: bytes, key: DkimKey) -> bytes:
        """The DKIM-Signature field over `fields` and a body with this hash."""
        loaded = self._loaded.get(key.id)
        if loaded is None:
            loaded = self._loaded[key.id] = dkim.SigningKey.load(key.private_pem)
        unsigned = dkim.prepare(
            fields,
            digest,
            algorithm=loaded.algorithm,
            domain=key.domain,
            selector=key.selector,
            now=int(self._clock.now()),
        )
        return await self._threads.run(unsigned.sign, loaded)


def _digest(body: bytes) -> bytes:
    digest = dkim.BodyHash()
    digest.update(body)
    return digest.digest()
