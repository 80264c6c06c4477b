"""``domain``: add, list, records, check, verify, key, set."""

from __future__ import annotations

import time
from typing import Any

import click

from smtpplus.cli.addresses import mail_domain
from smtpplus.cli.context import Context, Group, moment, pass_context
from smtpplus.cli.domain_settings import set_one
from smtpplus.doctor.domains import records_of
from smtpplus.doctor.records import Answer, check_record
from smtpplus.installation import Installation, run
from smtpplus.message.dkim import generate_key
from smtpplus.rules.dns_records import DnsRecord, ownership_record
from smtpplus.trial import new_selector
from smtpplus.values.address import Address
from smtpplus.values.errors import AddressError, UsageError
from smtpplus.values.submission import DkimKeyState, SenderDomain

__all__ = ["domain_command"]


@click.group("domain", cls=Group)
def domain_command() -> None:
    """Sender domains: proof of ownership, DKIM keys, DNS records."""


domain_command.add_command(set_one)


@domain_command.command("add")
@click.argument("account")
@click.argument("domain")
@pass_context
def add(context: Context, account: str, domain: str) -> None:
    """Add a sender domain to ACCOUNT, with a DKIM key; prints the DNS records to publish."""
    name = mail_domain(domain)
    if name.startswith("["):
        raise UsageError(f"{domain} is an address literal; a sender domain is a name.")
    now = time.time()
    with context.installation() as opened:
        made = run(opened.accounts.add_domain(account, name, None, now))
        _add_key(opened, made.domain, DkimKeyState.ACTIVE, now)
        found = records_of(opened, made)
    _show_records(context, made, found)


@domain_command.command("list")
@pass_context
def list_all(context: Context) -> None:
    """All sender domains."""
    rows: list[dict[str, Any]] = []
    with context.installation() as opened:
        for account in run(opened.accounts.accounts()):
            for one in run(opened.accounts.sender_domains(account.id)):
                keys = run(opened.accounts.keys(one.domain))
                rows.append(
                    {
                        "domain": one.domain,
                        "account": account.name,
                        "verified": moment(one.verified_at),
                        "tracking_host": one.tracking_host,
                        "selectors": [f"{key.selector} ({key.state.value})" for key in keys],
                    }
                )
    context.show_rows(("domain", "account", "verified", "tracking_host", "selectors"), rows)


@domain_command.command("records")
@click.argument("domain")
@pass_context
def show_records(context: Context, domain: str) -> None:
    """Print the DNS records that DOMAIN needs, as lines of a zone file."""
    with context.installation() as opened:
        one = run(opened.accounts.domain_by_name(domain))
        found = records_of(opened, one)
    _show_records(context, one, found)


@domain_command.command("check")
@click.argument("domain")
@pass_context
def check(context: Context, domain: str) -> int:
    """Look the records of DOMAIN up. Proven ownership makes it verified.

    Exit status 0 when all that is required is there.
    """
    with context.installation() as opened:
        one = run(opened.accounts.domain_by_name(domain))
        answers = [check_record(context.config, record) for record in records_of(opened, one)]
        one = _verify_if_proven(opened, one, answers[0])
    rows = [
        {"record": answer.record.purpose, "name": answer.record.name, **answer.fields()}
        for answer in answers
    ]
    fine = all(answer.is_right for answer in answers if answer.record.required)
    if context.as_json:
        context.show(
            {"domain": one.domain, "verified": moment(one.verified_at), "ok": fine, "records": rows}
        )
    else:
        context.show_rows(("record", "name", "state", "detail"), rows)
        context.note(_verdict(one))
    return 0 if fine else 1


@domain_command.command("verify")
@click.argument("domain")
@click.option("--force", is_flag=True, help="Take the operator's word for it, without DNS.")
@pass_context
def verify(context: Context, domain: str, force: bool) -> int:
    """Prove the ownership of DOMAIN by its TXT record."""
    with context.installation() as opened:
        one = run(opened.accounts.domain_by_name(domain))
        record = ownership_record(opened.secret, one.account_id, one.domain)
        if force:
            one = run(opened.accounts.set_domain_verified(one.domain, time.time()))
        elif one.verified_at is None:
            one = _verify_if_proven(opened, one, check_record(context.config, record))
    verified = one.verified_at is not None
    context.show({"domain": one.domain, "verified": moment(one.verified_at)}, _verdict(one))
    if not verified and not context.as_json:
        context.note(f"Publish this record, then try again:\n  {record.zone_line}")
    return 0 if verified else 1


@domain_command.command("key")
@click.argument("domain")
@click.argument("action", type=click.Choice(["add", "activate", "list"]))
@click.argument("selector", required=False)
@click.option("--force", is_flag=True, help="Activate although DNS does not show the record.")
@pass_context
def key(context: Context, domain: str, action: str, selector: str | None, *, force: bool) -> None:
    """DKIM keys of DOMAIN: rotate with `add`, publish, `activate`; `list` shows them.

    `add` makes the next key and prints its record; `activate` signs with it (SELECTOR may be
    left out where one key waits) once DNS shows its record, and retires the one before.
    """
    now = time.time()
    with context.installation() as opened:
        one = run(opened.accounts.domain_by_name(domain))
        if action == "add":
            _add_key(opened, one.domain, DkimKeyState.NEXT, now, selector)
        elif action == "activate":
            _activate(context, opened, one, selector, force=force)
        keys = run(opened.accounts.keys(one.domain))
        published = {record.name: record for record in records_of(opened, one)}
    rows = [
        {
            "selector": found.selector,
            "state": found.state.value,
            "created": moment(found.created_at),
            "name": f"{found.selector}._domainkey.{one.domain}",
            "value": published[f"{found.selector}._domainkey.{one.domain}"].value,
        }
        for found in keys
    ]
    context.show_rows(("selector", "state", "created", "name"), rows)
    if action == "add" and not context.as_json:
        context.note("Publish its record; see `smtpplus domain records " + one.domain + "`.")


def _add_key(
    opened: Installation, domain: str, state: DkimKeyState, now: float, selector: str | None = None
) -> None:
    taken = {found.selector for found in run(opened.accounts.keys(domain))}
    name = new_selector(now, taken) if selector is None else selector.lower()
    try:
        Address.parse(f"any@{name}.{domain}")  # a selector is a DNS label
    except AddressError as error:
        raise UsageError(
            f"{name or 'Nothing'} is no selector: expected up to 63 letters, digits and hyphens."
        ) from error
    pem, public = generate_key()
    run(opened.accounts.add_key(domain, name, pem, public, state, now))


def _activate(
    context: Context, opened: Installation, one: SenderDomain, selector: str | None, *, force: bool
) -> None:
    """Sign with a waiting key. Without its record in DNS every signature would fail (DK4)."""
    waiting = [
        found.selector
        for found in run(opened.accounts.keys(one.domain))
        if found.state is DkimKeyState.NEXT
    ]
    if selector is None and len(waiting) != 1:
        raise UsageError(
            f"Say which selector to activate; waiting: {', '.join(waiting) or 'none'} "
            f"(`smtpplus domain key {one.domain} add` makes one)."
        )
    chosen = selector or waiting[0]
    name = f"{chosen}._domainkey.{one.domain}"
    record = next((found for found in records_of(opened, one) if found.name == name), None)
    if record is not None and not force:
        answer = check_record(context.config, record)
        if not answer.is_right:
            raise UsageError(f"{name}: {answer.detail} Publish it first, or say --force.")
    run(opened.accounts.set_key_state(one.domain, chosen, DkimKeyState.ACTIVE))


def _show_records(context: Context, one: SenderDomain, found: list[DnsRecord]) -> None:
    if context.as_json:
        rows = [
            {
                "purpose": record.purpose,
                "type": record.type,
                "name": record.name,
                "value": record.value,
                "required": record.required,
                "note": record.note,
            }
            for record in found
        ]
        context.show({"domain": one.domain, "verified": moment(one.verified_at), "records": rows})
        return
    for record in found:
        click.echo(f"; {'' if record.required else 'Suggested. '}{record.note}")
        click.echo(f"{record.zone_line}\n")
    context.note(_verdict(one))


def _verify_if_proven(opened: Installation, one: SenderDomain, answer: Answer) -> SenderDomain:
    if one.verified_at is None and answer.is_right:
        return run(opened.accounts.set_domain_verified(one.domain, time.time()))
    return one


def _verdict(one: SenderDomain) -> str:
    if one.verified_at is not None:
        return f"{one.domain} is verified since {moment(one.verified_at)}."
    return f"{one.domain} is not verified: nothing is sent from it. See `smtpplus domain check`."
