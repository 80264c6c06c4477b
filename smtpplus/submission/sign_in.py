"""Signing in: the throttle before the portal, and what the client is told.

One `SignIn` serves all conversations; `delay_seconds` is what a failure takes at least.
Guarantees: a throttled try costs nothing and tells
nothing; failures are told in one text, whatever was wrong (A3). Raises nothing but what the
store raises (`StoreUnavailableError`). Does not end connections: the conversation does.
"""

from __future__ import annotations

import math
from typing import cast

from twisted.cred.credentials import ICredentials, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.logger import Logger

from smtpplus.ports import IAccounts, IClock
from smtpplus.rules.admission import BAD_CREDENTIALS
from smtpplus.rules.throttle import AuthThrottle
from smtpplus.smtp.events import PasswordOffered, ScramStarted
from smtpplus.smtp.sasl import fake_verifier
from smtpplus.submission.portal import ISmtpUser, NetworkAddress, ScramProof, SmtpUserAvatar
from smtpplus.values.errors import RefusedError
from smtpplus.values.reply import Reply
from smtpplus.values.submission import ScramVerifier, SmtpUser

__all__ = ["SignIn"]


class SignIn:
    """Turns what a client offers into an SMTP user, or into the refusal."""

    def __init__(
        self,
        portal: Portal,
        accounts: IAccounts,
        throttle: AuthThrottle,
        clock: IClock,
        fake_secret: bytes,
        *,
        delay_seconds: float = 0.5,
        log: Logger | None = None,
    ) -> None:
        self._portal = portal
        self._accounts = accounts
        self._throttle = throttle
        self._clock = clock
        self._fake_secret = fake_secret
        self._delay_seconds = delay_seconds
        self._log = log or Logger()

    async def by_password(self, ip: str, offered: PasswordOffered) -> SmtpUser | Reply:
        """AUTH PLAIN and LOGIN."""
        if _acts_for_another(offered.authzid, offered.username):
            return BAD_CREDENTIALS
        wait = self._throttled(ip, offered.username)
        if wait is not None:
            return wait
        credentials = UsernamePassword(
            offered.username.encode("utf-8", "replace"), offered.password.encode("utf-8", "replace")
        )
        return await self._log_in(ip, offered.username, credentials)

    async def verifier(self, ip: str, started: ScramStarted) -> ScramVerifier | Reply:
        """What a SCRAM exchange goes on with; a made-up one for an unknown user (SA3)."""
        if _acts_for_another(started.authzid, started.username):
            return BAD_CREDENTIALS
        wait = self._throttled(ip, started.username)
        if wait is not None:
            return wait
        user = await self._accounts.user_by_name(started.username)
        return user.verifier if user else fake_verifier(started.username, self._fake_secret)

    async def by_proof(self, ip: str, username: str) -> SmtpUser | Reply:
        """A SCRAM exchange came to its end, the proof is right."""
        return await self._log_in(ip, username, ScramProof(username))

    async def by_network(self, ip: str) -> SmtpUser | None:
        """The user whose `networks` hold this address; None: nobody's, or not now."""
        try:
            _, avatar, _ = await self._portal.login(NetworkAddress(ip), None, ISmtpUser)
        except (UnauthorizedLogin, RefusedError):
            return None
        return cast("SmtpUserAvatar", avatar).user

    async def failed(self, ip: str, username: str) -> None:
        """Count a failure, also one that only the conversation has seen; take some time (SA2)."""
        self._throttle.failed(ip, username, self._clock.monotonic())
        self._log.info("Sign-in of {user} from {ip} failed", user=username[:128], ip=ip)
        await self._clock.sleep(self._delay_seconds)

    async def _log_in(self, ip: str, username: str, credentials: ICredentials) -> SmtpUser | Reply:
        try:
            _, avatar, _ = await self._portal.login(credentials, None, ISmtpUser)
        except UnauthorizedLogin:
            await self.failed(ip, username)
            return BAD_CREDENTIALS
        except RefusedError as refusal:
            if refusal.reply.is_permanent:
                await self.failed(ip, username)  # a device that goes on trying is slowed down too
            return refusal.reply
        self._throttle.succeeded(ip, username, self._clock.monotonic())
        return cast("SmtpUserAvatar", avatar).user

    def _throttled(self, ip: str, username: str) -> Reply | None:
        wait = self._throttle.wait_seconds(ip, username, self._clock.monotonic())
        if not wait:
            return None
        seconds = math.ceil(wait)
        return Reply.of(  # RFC 4954 §6
            454, "4.7.0", f"Too many failed sign-ins, please try again in {seconds} s"
        )


def _acts_for_another(authzid: str, username: str) -> bool:
    return bool(authzid) and authzid.lower() != username.lower()
