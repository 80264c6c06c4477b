"""``domain set``: what can be changed of a sender domain.

A tracking host is taken only once DNS shows it: links of mails that are sent meanwhile would lead
nowhere.
"""

from __future__ import annotations

import click

from smtpplus.cli.context import Context, command, pass_context
from smtpplus.doctor.records import check_record
from smtpplus.installation import run
from smtpplus.rules.dns_records import tracking_record
from smtpplus.rules.tracking_hosts import host_of, read_tracking_host, tracking_base
from smtpplus.values.errors import UsageError

__all__ = ["set_one"]


@command("set")
@click.argument("domain")
@click.argument("key", type=click.Choice(["tracking_host"]))
@click.argument("value")
@click.option("--force", is_flag=True, help="Although DNS does not show the record.")
@pass_context
def set_one(context: Context, domain: str, key: str, value: str, *, force: bool) -> None:
    """Change a setting of DOMAIN.

    tracking_host: the name that tracked links and unsubscribe links have in mail from DOMAIN, a
    CNAME below it that leads to the installation's tracking host; empty: the installation's own.
    """
    config = context.config
    with context.installation() as opened:
        one = run(opened.accounts.domain_by_name(domain))
        host = read_tracking_host(value, one.domain)
        if host and not force:
            answer = check_record(config, tracking_record(host, host_of(config.tracking_url)))
            if not answer.is_right:
                raise UsageError(
                    f"{host}: {answer.detail} Publish `{answer.record.zone_line}` first, or say "
                    "--force."
                )
        one = run(opened.accounts.set_tracking_host(one.domain, host))
    base = tracking_base(config.tracking_url, one)
    context.show(
        {"domain": one.domain, key: one.tracking_host, "links": base},
        f"Links in mail from {one.domain} begin with {base}/.",
    )
