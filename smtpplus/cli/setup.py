"""``init``, ``check-config``, ``migrate``."""

from __future__ import annotations

import dataclasses
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smtpplus.cli.context import Context, command, pass_context
from smtpplus.values.errors import ConfigError

if TYPE_CHECKING:
    from smtpplus.config import Config

__all__ = ["check_config_command", "init_command", "migrate_command"]


@command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--production", is_flag=True, help="For the internet instead of a trial.")
@click.option("--hostname", help="The full name of this machine; with --production.")
@pass_context
def init_command(context: Context, folder: Path, production: bool, hostname: str | None) -> None:
    """Write DIR/smtpplus.toml, keys and store; print where things are.

    Without --production it is a trial: loopback, a ready SMTP user, mail goes to the sandbox.
    """
    from smtpplus.trial import set_up

    if production != (hostname is not None):
        raise click.UsageError("--production and --hostname go together.")
    facts = set_up(folder, now=time.time(), random=secrets.token_bytes, production_host=hostname)
    context.show(dataclasses.asdict(facts))
    if not context.as_json:
        context.note(_next_steps(facts.config, production))


def _next_steps(config: str, production: bool) -> str:
    if not production:
        return f"\nRun it:  twistd -n smtpplus --config {config}"
    return f"""
Next, with --config {config}:
  smtpplus account add ACCOUNT
  smtpplus list add ACCOUNT default
  smtpplus domain add ACCOUNT DOMAIN        publish the records it prints
  smtpplus domain check DOMAIN              until it is verified
  smtpplus user add default                 the credential for your application
Put a certificate of a public authority into [submission], then:
  twistd -n smtpplus --config {config}"""


@command("check-config")
@click.option("--explain", is_flag=True, help="Print each key's meaning and default as well.")
@pass_context
def check_config_command(context: Context, explain: bool) -> None:
    """Check the configuration and the files it names, as a start does; print what is in effect."""
    from smtpplus.config import load
    from smtpplus.config.explain import effective, explained

    config = load(context.config.file, context.settings, with_files=True)
    _check_as_a_start_does(config)
    if context.as_json:
        context.show(explained(config) if explain else effective(config))
        return
    click.echo(f"# {config.file}")
    for section, keys in explained(config).items():
        click.echo(f"\n[{section}]")
        for key, known in keys.items():
            if explain:
                default = "" if known["default"] is None else f" Default: {known['default']}"
                click.echo(f"# {known['meaning']}{default}")
            is_set = known["value"] is not None
            click.echo(f"{key} = {known['value']}" if is_set else f"# {key} is not set")


def _check_as_a_start_does(config: Config) -> None:
    """What a start would refuse, of all that the configuration names; nothing is listened on."""
    from smtpplus.installation import BlockingClock, read_secret
    from smtpplus.net.certificates import CertificateFiles
    from smtpplus.net.dns_question import stub_resolver
    from smtpplus.net.tls import ServerTls
    from smtpplus.settings import relay_settings, submission_settings, web_settings

    submission = config.submission
    if submission.certificate is not None and submission.private_key is not None:
        ServerTls(CertificateFiles(submission.certificate, submission.private_key), BlockingClock())
    secret = read_secret(config)
    relay_settings(config, None, secret)
    submission_settings(config, secret)
    web_settings(config)
    stub_resolver(config.dns.nameservers, try_seconds=1.0, total_seconds=config.dns.timeout.seconds)
    _check_store_url(config.store_url)


def _check_store_url(url: str) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:"):
        if path.is_dir():
            raise ConfigError(f"store.url: expected the path of a file, and {path} is a folder.")
        return
    try:
        from smtpplus.store.postgresql import PostgresqlServer
    except ImportError as error:
        raise ConfigError(
            "store.url: a store in PostgreSQL needs psycopg: install smtpplus[postgresql]."
        ) from error
    PostgresqlServer(url)


@command("migrate")
@click.option(
    "--new-secret",
    is_flag=True,
    help="The store's secret.key is lost: take the one that is there from now on. DKIM keys in "
    "the store stay closed, and must be made anew.",
)
@click.option(
    "--new-store",
    is_flag=True,
    help="There is no store in a file, and no backup of one: make an empty one.",
)
@pass_context
def migrate_command(context: Context, new_secret: bool, new_store: bool) -> None:
    """Bring the store to this version's tables. Stop the service and take a backup first."""
    from smtpplus.installation import read_secret
    from smtpplus.store.store import upgrade

    secret = read_secret(context.config) if new_secret else None
    before, after = upgrade(context.config.store_url, secret, make=new_store)
    found: dict[str, Any] = {"before": before, "after": after, "changed": before != after}
    text = f"{before} → {after}" if before != after else f"The tables are those of {after}."
    if secret is not None:
        text += (
            " The store is this secret's now. Keys that were sealed under another one do not open:"
            " make new ones (`smtpplus domain key DOMAIN add`)."
        )
    elif before == after:
        text = f"Nothing to do: {after}."
    context.show(found, text)
