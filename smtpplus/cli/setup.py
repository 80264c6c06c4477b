"""``init``, ``check-config``, ``migrate``."""

from __future__ import annotations

import dataclasses
import secrets
import time
from pathlib import Path
from typing import Any

import click

from smtpplus.cli.context import Context, command, pass_context

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
    """Check the configuration, its certificate and password files; print what is in effect."""
    from smtpplus.config.explain import effective, explained

    config = context.config
    _check_files(context)
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


def _check_files(context: Context) -> None:
    from smtpplus.installation import read_secret
    from smtpplus.net.certificates import CertificateFiles

    submission = context.config.submission
    if submission.certificate is not None and submission.private_key is not None:
        CertificateFiles(submission.certificate, submission.private_key).read()
    read_secret(context.config)
    _ = context.config.smarthost_password()
    _ = context.config.metrics_token()


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
