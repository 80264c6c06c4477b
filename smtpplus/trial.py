"""Sets up an installation: the trial of ``twistd smtpplus``, and ``smtpplus init``.

Guarantees: never overwrites; a set-up that fails leaves nothing behind; the configuration file
is written last, so that a folder that has one is whole; the folder is 0700, its files 0600. A
trial listens on loopback and delivers to the built-in mailbox server: nothing leaves the
machine. A production installation has no account, no SMTP user and no password (A10), only an
operator who signs in by a one-time link. Raises UsageError.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from smtpplus.config import Config, HostName, load
from smtpplus.installation import Installation, open_installation, run
from smtpplus.message.dkim import generate_key
from smtpplus.net.certificates import self_signed
from smtpplus.rules.credential import new_secret
from smtpplus.smtp.scram import make_verifier
from smtpplus.values.errors import ConflictError, UsageError, reason
from smtpplus.values.submission import DkimKeyState, Role, ScramVerifier, SmtpUser, Stream
from smtpplus.web.sessions import issue_sign_in

__all__ = [
    "TRIAL_DOMAIN",
    "Facts",
    "new_credential",
    "new_selector",
    "set_up",
    "sign_in_link",
]

Random = Callable[[int], bytes]

TRIAL_DOMAIN = "example.com"
TRIAL_OPERATOR = "operator@example.com"
_SECRET_OCTETS = 32
_SALT_OCTETS = 16

_TRIAL = """\
# A trial of smtpplus: everything on this machine, nothing leaves it.
# `smtpplus check-config --explain` tells of every key.

[server]
hostname = "localhost"
data_dir = "."

[submission]
listen = ["127.0.0.1:2587"]
listen_tls = ["127.0.0.1:2465"]
certificate = "certificate.pem"
private_key = "private_key.pem"

[relay]
deliver = "sandbox"

[feedback]
listen = ["127.0.0.1:2525"]
# A bounce domain: each mail gets a return path and an address to unsubscribe at in it.
# domain = "bounce.example.com"

[web]
listen = "127.0.0.1:8025"
"""

_MOST_PROCESSES = 8  # they share one writer's turn on the store
_PRODUCTION = """\
# smtpplus. `smtpplus check-config --explain` tells of every key.

[server]
hostname = "{hostname}"
data_dir = "."
# One for each processor of this machine; each takes about 90 MiB of memory.
processes = {processes}

[submission]
listen = ["0.0.0.0:587"]
listen_tls = ["0.0.0.0:465"]
# Self-signed: put the certificate of {hostname} here, such as certbot's
# /etc/letsencrypt/live/{hostname}/fullchain.pem and privkey.pem.
certificate = "certificate.pem"
private_key = "private_key.pem"

[relay]
deliver = "internet"

[feedback]
listen = ["0.0.0.0:25"]
# The bounce domain, a name of its own whose MX is this machine.
# domain = "bounce.{hostname}"

[web]
# Plain HTTP: keep it on loopback, with a TLS proxy before it, and say its address.
listen = "127.0.0.1:8025"
# What recipients follow: opens, clicks, unsubscribing. The proxy has to answer there.
tracking_url = "https://{hostname}"
# public_url = "https://{hostname}"
# trusted_proxies = ["127.0.0.1/32"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a new installation is; `smtpplus init --json` prints it. The password is shown once."""

    config: str
    submission: str
    submission_tls: str
    returns: str
    web: str
    username: str | None = None
    password: str | None = None
    sign_in: str

    @classmethod
    def of(cls, config: Config, sign_in: str) -> Facts:
        """The facts that can be told again."""
        return cls(
            config=str(config.file),
            submission=", ".join(config.submission.listen),
            submission_tls=", ".join(config.submission.listen_tls),
            returns=", ".join(config.feedback.listen),
            web=config.public_url,
            sign_in=sign_in,
        )


def set_up(
    folder: Path,
    *,
    now: float,
    random: Random,
    production_host: str | None = None,
    settings: Sequence[str] = (),
) -> Facts:
    """Make an installation in `folder`: a trial, or with `production_host` one for production.

    `settings` are overrides that hold for this run, as ``--set`` gives them; they are not kept.

    Raises:
        UsageError: there is something already, or the folder cannot be written.
    """
    folder = folder.absolute()
    host = _checked_host(production_host) if production_host is not None else None
    try:
        _prepare(folder)
        _write(folder / "secret.key", random(_SECRET_OCTETS).hex().encode() + b"\n")
        try:
            return _fill(folder, host, settings, now, random)
        except BaseException:
            _empty(folder)  # all of it is ours: it was empty, and we made the first file
            raise
    except OSError as error:
        raise UsageError(f"{folder} cannot be set up: {reason(error)}.") from error


def _fill(
    folder: Path, host: str | None, settings: Sequence[str], now: float, random: Random
) -> Facts:
    certificate, key = self_signed(host or "localhost", now)
    _write(folder / "certificate.pem", certificate)
    _write(folder / "private_key.pem", key)
    processes = min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)
    text = _TRIAL if host is None else _PRODUCTION.format(hostname=host, processes=processes)
    unnamed = folder / ".smtpplus.toml.new"
    _write(unnamed, text.encode())
    with open_installation(load(unnamed, settings), make=True) as installation:
        credential = None if host else run(_fill_trial(installation, now, random))
        operator = f"postmaster@{host}" if host else TRIAL_OPERATOR
        run(installation.people.add_person(operator, Role.OPERATOR, None, None, now))
        link = sign_in_link(installation, operator, now, random)
    path = unnamed.rename(folder / "smtpplus.toml")
    facts = Facts.of(load(path, settings), link)
    if credential is None:
        return facts
    user, password = credential
    return replace(facts, username=user.username, password=password)


def sign_in_link(installation: Installation, email: str, now: float, random: Random) -> str:
    """A fresh one-time link that signs `email` in.

    Raises:
        UsageError: there is no such person.
    """
    wanted = email.strip().lower()
    people = run(installation.people.people())
    person = next((one for one in people if one.email.lower() == wanted), None)
    if person is None:
        raise UsageError(f"There is no person {email}; add one with `smtpplus person add`.")
    path = run(issue_sign_in(installation.people, person, now, random))
    return installation.config.public_url + path


def new_credential(random: Random) -> tuple[str, ScramVerifier]:
    """A secret to be shown once, and what is kept of it."""
    secret = new_secret(random)
    return secret, make_verifier(secret, random(_SALT_OCTETS))


def new_selector(now: float, taken: set[str]) -> str:
    """A DKIM selector that says when it was made: sp202611, then sp202611b and so on."""
    base = datetime.fromtimestamp(now, UTC).strftime("sp%Y%m")
    names = (base, *(f"{base}{letter}" for letter in "bcdefghijklmnopqrstuvwxyz"))
    for name in names:
        if name not in taken:
            return name
    raise ConflictError(f"There are {len(names)} keys of this month already.")


async def _fill_trial(
    installation: Installation, now: float, random: Random
) -> tuple[SmtpUser, str]:
    """Account, list, sender domain with its key, SMTP user."""
    accounts = installation.accounts
    await accounts.add_account("trial", now)
    mail_list = await accounts.add_list("trial", "default", Stream.TRANSACTIONAL, now)
    await accounts.add_domain("trial", TRIAL_DOMAIN, now, now)
    pem, public = generate_key()
    selector = new_selector(now, set())
    await accounts.add_key(TRIAL_DOMAIN, selector, pem, public, DkimKeyState.ACTIVE, now)
    secret, verifier = new_credential(random)
    user = await accounts.add_user(mail_list.id, None, verifier, (), (), now)
    return user, secret


def _checked_host(name: str) -> str:
    try:
        host = HostName.read(name)
    except ValueError as error:
        raise UsageError(f"--hostname: {error}.") from error
    if "." not in host:
        raise UsageError(f"--hostname: expected a full name such as mail.{host}.com, got {name}.")
    return host


def _prepare(folder: Path) -> None:
    """The folder, ours alone, with nothing in it."""
    if folder.exists() and not folder.is_dir():
        raise ConflictError(f"{folder} is no folder. Choose another name.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (folder / "smtpplus.toml").exists():
        raise ConflictError(f"{folder} holds an installation already. Choose another folder.")
    found = next(folder.iterdir(), None)
    if found is not None:
        raise ConflictError(
            f"{folder} is not empty (there is {found.name}). Choose a new folder, or empty it."
        )
    folder.chmod(0o700)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    """A new file, 0600, on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
