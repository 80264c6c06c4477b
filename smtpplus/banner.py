"""What a trial says when it runs: where it is, how to sign in, and how to send a first message.

Guarantees: every command it prints works as it stands in a shell on this machine.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from smtpplus.config import Config
from smtpplus.trial import TRIAL_DOMAIN, Facts

__all__ = ["banner", "left_behind"]

_TRY = f"you@{TRIAL_DOMAIN.replace('.com', '.net')}"
_BITS = "bounce-5.1.1@ bounce-4.2.2@ defer-2@ full@ slow@ drop@ tls-fail@"


def banner(config: Config, facts: Facts, settings: Sequence[str] = ()) -> str:
    """The text; the password is in it where `facts` has one: once, at the set-up.

    `settings` are the overrides of this run: the commands need them as well.
    """
    parts = [
        "",
        "smtpplus is running: a trial, nothing leaves this machine.",
        "",
        f"  Web      {facts.web}",
    ]
    if facts.sign_in:
        parts.append(f"  Sign in  {facts.sign_in}   (once, within 24 h)")
    parts.append(f"  SMTP     {facts.submission} STARTTLS, {facts.submission_tls} TLS")
    parts += _credential(config, facts, settings)
    parts += [
        "",
        "Send a first message and see what became of it:",
        "",
        f"  {_command('send-test', config, settings)}",
        "",
    ]
    if facts.password is not None:
        parts += ["or with curl:", "", f"  {_curl(config, facts)}", ""]
    parts += [
        "Mail to any address arrives in the sandbox mailbox of the web pages. These local parts",
        f"play an outcome, at any domain: {_BITS}",
        "",
    ]
    return "\n".join(parts)


def left_behind(facts: Facts) -> str | None:
    """What to keep when the first start fails after the set-up: the secret is shown only once."""
    if facts.password is None:
        return None
    return (
        f"The trial is set up all the same ({facts.config}): "
        f"user {facts.username}, secret {facts.password}."
    )


def _credential(config: Config, facts: Facts, settings: Sequence[str]) -> list[str]:
    if facts.password is not None:
        return [
            f"  User     {facts.username}",
            f"  Secret   {facts.password}   (shown this once)",
        ]
    return [
        f"  Users    {_command('user list', config, settings)}",
        f"           {_command('user secret USER', config, settings)}   makes a new secret",
    ]


def _command(words: str, config: Config, settings: Sequence[str]) -> str:
    """A `smtpplus` command as it can be typed here."""
    program = _short(Path(sys.argv[0]).absolute().parent / "smtpplus")
    found_by_itself = config.file is not None and config.file.parent.parent == Path.cwd()
    option = "" if found_by_itself else f"--config {shlex.quote(str(config.file))} "
    sets = "".join(f"--set {shlex.quote(one)} " for one in settings)
    return f"{program} {option}{sets}{words}"


def _curl(config: Config, facts: Facts) -> str:
    certificate = config.submission.certificate
    trust = f"--cacert {shlex.quote(_short(certificate))}" if certificate else "--insecure"
    sender = f"hello@{TRIAL_DOMAIN}"
    text = f"From: {sender}\\nTo: {_TRY}\\nSubject: First\\n\\nHello.\\n"
    return (
        f"printf '{text}' | curl -sS --crlf --ssl-reqd {trust} smtp://{facts.submission} "
        f"-u {shlex.quote(f'{facts.username}:{facts.password}')} "
        f"--mail-from {sender} --mail-rcpt {_TRY} -T -"
    )


def _short(path: Path) -> str:
    """Relative where that is shorter to read."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
