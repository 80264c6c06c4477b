"""Who is it? twisted.cred's portal, realm and checkers for SMTP users.

Credentials (a password, a finished SCRAM exchange, a client address) become an `ISmtpUser`
avatar, or are refused. Guarantees: a password is checked in a thread, never on the reactor's
(A5); unknown users run the same course as known ones (A3); a password that was right lately is
not computed again.

Raises, through `Portal.login`: `UnauthorizedLogin` where the credentials are not right,
`RefusedError` with the reply where they are but the user may not send now (P1),
`StoreUnavailableError` where nobody can tell. Does not throttle; the sign-in does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TypeAlias

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import Attribute, Interface, implementer

from smtpplus.ports import IAccounts, IClock, IWorkers
from smtpplus.rules.admission import refuse_sign_in
from smtpplus.smtp.sasl import check_password, fake_verifier
from smtpplus.submission.verified import VerifiedCredentials
from smtpplus.values.errors import RefusedError
from smtpplus.values.submission import SmtpUser

__all__ = [
    "INetworkAddress",
    "IScramProof",
    "ISmtpUser",
    "NetworkAddress",
    "NetworkChecker",
    "PasswordChecker",
    "ScramChecker",
    "ScramProof",
    "SmtpRealm",
    "SmtpUserAvatar",
    "submission_portal",
]

_AvatarId: TypeAlias = "bytes | tuple[()]"  # the user name, UTF-8; () is nobody
_Avatar: TypeAlias = tuple[type[Interface], object, Callable[[], None]]


class ISmtpUser(Interface):
    """The avatar: an SMTP user that may submit."""

    user = Attribute("The `SmtpUser` as it was at sign-in.")


class IScramProof(ICredentials):
    """A SCRAM exchange that the conversation has verified."""

    username = Attribute("The user name it was about (str).")


class INetworkAddress(ICredentials):
    """A client's address, where that is all there is."""

    ip = Attribute("The address (str).")


@implementer(IScramProof)
class ScramProof:
    """See `IScramProof`."""

    def __init__(self, username: str) -> None:
        self.username = username


@implementer(INetworkAddress)
class NetworkAddress:
    """See `INetworkAddress`."""

    def __init__(self, ip: str) -> None:
        self.ip = ip


@implementer(ISmtpUser)
class SmtpUserAvatar:
    """See `ISmtpUser`."""

    __slots__ = ("user",)

    def __init__(self, user: SmtpUser) -> None:
        self.user = user


@implementer(ICredentialsChecker)
class PasswordChecker:
    """User name and password, both UTF-8, against the stored SCRAM verifier.

    `fake_secret` makes the verifiers of users that do not exist.
    """

    credentialInterfaces = (IUsernamePassword,)  # noqa: N815 - Twisted's name

    def __init__(
        self, accounts: IAccounts, workers: IWorkers, clock: IClock, fake_secret: bytes
    ) -> None:
        self._accounts = accounts
        self._workers = workers
        self._clock = clock
        self._fake_secret = fake_secret
        self._verified = VerifiedCredentials(secrets.token_bytes(32))

    def requestAvatarId(self, credentials: IUsernamePassword) -> Deferred[_AvatarId]:
        """The user name, when the password is right."""
        return Deferred.fromCoroutine(
            self._check(credentials.username.decode(), credentials.password.decode())
        )

    async def _check(self, username: str, password: str) -> bytes:
        user = await self._accounts.user_by_name(username)
        verifier = user.verifier if user else fake_verifier(username, self._fake_secret)
        mark = self._verified.mark(verifier, password)
        if user is not None and self._verified.holds(mark, self._clock.monotonic()):
            return user.username.encode()
        is_right = await self._workers.run(check_password, verifier, password)
        if user is None or not is_right:
            raise UnauthorizedLogin(username)
        self._verified.add(mark, self._clock.monotonic())
        return user.username.encode()


@implementer(ICredentialsChecker)
class ScramChecker:
    """A proof the conversation has verified: all that is left is to believe it."""

    credentialInterfaces = (IScramProof,)  # noqa: N815 - Twisted's name

    def requestAvatarId(self, credentials: ScramProof) -> Deferred[_AvatarId]:
        """The user name."""
        return succeed(credentials.username.encode())


@implementer(ICredentialsChecker)
class NetworkChecker:
    """A client address in some active SMTP user's `networks`."""

    credentialInterfaces = (INetworkAddress,)  # noqa: N815 - Twisted's name

    def __init__(self, accounts: IAccounts) -> None:
        self._accounts = accounts

    def requestAvatarId(self, credentials: NetworkAddress) -> Deferred[_AvatarId]:
        """The name of the user whose network it is."""
        return Deferred.fromCoroutine(self._find(credentials.ip))

    async def _find(self, ip: str) -> bytes:
        user = await self._accounts.user_by_ip(ip)
        if user is None:
            raise UnauthorizedLogin(ip)
        return user.username.encode()


@implementer(IRealm)
class SmtpRealm:
    """Turns a user name into the SMTP user, if that one may send now."""

    def __init__(self, accounts: IAccounts, clock: IClock, log: Logger | None = None) -> None:
        self._accounts = accounts
        self._clock = clock
        self._log = log or Logger()

    def requestAvatar(
        self,
        avatarId: _AvatarId,  # noqa: N803 - Twisted's name
        mind: object,
        *interfaces: type[Interface],
    ) -> Deferred[_Avatar] | _Avatar:
        """The avatar for `ISmtpUser`; no other interface is known."""
        if ISmtpUser not in interfaces:
            raise NotImplementedError("the realm of submission knows ISmtpUser alone")
        return Deferred.fromCoroutine(self._avatar(bytes(avatarId).decode()))

    async def _avatar(self, username: str) -> _Avatar:
        user = await self._accounts.user_by_name(username)
        if user is None:  # removed between the check and now
            raise UnauthorizedLogin(username)
        refusal = refuse_sign_in(user, self._clock.now())
        if refusal is not None:
            # Only here: the client is not told what a stranger need not know.
            self._log.warn(
                "User {user} signed in but is {status}, blocked until {until}: {reason}",
                user=user.username,
                status=user.status.value,
                until=user.blocked_until,
                reason=user.block_reason,
            )
            raise RefusedError(refusal)
        return ISmtpUser, SmtpUserAvatar(user), _nothing


def _nothing() -> None:
    """The logout: nothing is held for a connection."""


def submission_portal(
    accounts: IAccounts, workers: IWorkers, clock: IClock, fake_secret: bytes
) -> Portal:
    """The portal with its three checkers."""
    return Portal(
        SmtpRealm(accounts, clock),
        (
            PasswordChecker(accounts, workers, clock, fake_secret),
            ScramChecker(),
            NetworkChecker(accounts),
        ),
    )
