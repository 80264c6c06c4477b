"""``explain``: what would become of a message of this user to this address, without sending one.

Guarantees: sends nothing and changes nothing; asks DNS for the route alone. What it says follows
from the rules the service itself uses.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from zoneinfo import ZoneInfo

import click

from smtpplus.cli.addresses import mail_address
from smtpplus.cli.context import Context, command, moment, pass_context
from smtpplus.config import Config
from smtpplus.installation import BlockingClock, Installation, run
from smtpplus.net.resolver import Resolver
from smtpplus.net.spawn import Spawn
from smtpplus.net.workers import InlineWorkers
from smtpplus.ports import IQueue
from smtpplus.relay.route import RouteFailedError, Router
from smtpplus.rules.admission import SenderRights, refuse_recipient, refuse_user
from smtpplus.rules.aggregation import CampaignFacts, bucket
from smtpplus.rules.effective import Effective, settle
from smtpplus.rules.explained import explained
from smtpplus.rules.quota import UserQuota, window_start
from smtpplus.rules.suppression import Reason, Suppression, bypass_of, decide, refusal
from smtpplus.rules.user_settings import SETTINGS
from smtpplus.settings import relay_settings
from smtpplus.values.address import Address
from smtpplus.values.errors import NotFoundError
from smtpplus.values.options import NOTHING_SAID
from smtpplus.values.submission import MailList, SmtpUser

__all__ = ["explain_command"]

_HOUR, _DAY = 3600, 86_400


@command("explain")
@click.option("--user", "username", required=True, metavar="USER", help="The SMTP user.")
@click.option("--to", "recipient", required=True, metavar="ADDRESS", help="The recipient.")
@click.option("--from", "sender", default="", metavar="ADDRESS", help="The sender.")
@click.option("--subject", default="", help="What a policy by subject would count it by.")
@pass_context
def explain_command(
    context: Context, username: str, recipient: str, sender: str, subject: str
) -> None:
    """What would become of a message: rights, suppression, options, campaign, route.

    Nothing is sent. A message's own control headers go before what is shown here.
    """
    to, who = mail_address(recipient), mail_address(sender) if sender else None
    with context.installation() as opened:
        user, mail_list = _origin(opened, username)
        now = time.time()
        effective = settle(NOTHING_SAID, user, mail_list)
        found: dict[str, Any] = {
            "user": user.username,
            "list": f"{user.account_name}/{mail_list.name}",
            "to": str(to),
            "submission": _submission(opened, user, now),
            "sender": _sender(opened, user, who),
            "recipient": _recipient(context.config, opened, mail_list, effective, to, now),
            "campaign": _campaign(user, mail_list, effective, who, subject, now),
            "route": _route(opened, to),
            "options": [
                {"option": one.key, "value": one.text, "decided_by": one.level.value}
                for one in explained(effective, lambda at: moment(at) or "")
            ],
        }
    verdict = _verdict(found)
    if context.as_json:
        context.show({**found, "verdict": verdict})
        return
    context.show({"verdict": verdict, "user": found["user"], "list": found["list"]})
    submission = found["submission"]
    submission |= {key: one.written(submission[key]) for key, one in _LIMITS.items()}
    for part in ("submission", "sender", "recipient", "campaign", "route"):
        click.echo(f"\n{part.capitalize()}")
        context.show(found[part])
    click.echo("\nOptions")
    context.show_rows(("option", "value", "decided_by"), found["options"])


_LIMITS = {key: SETTINGS[key] for key in ("limit_hour", "limit_day", "recall", "duplicates")}


def _origin(opened: Installation, username: str) -> tuple[SmtpUser, MailList]:
    user = run(opened.accounts.user_by_name(username))
    if user is None:
        raise NotFoundError(f"There is no SMTP user {username}; see `smtpplus user list`.")
    mail_list = run(opened.accounts.list_by_id(user.list_id))
    if mail_list is None:
        raise NotFoundError(f"The list of SMTP user {username} is gone.")
    return user, mail_list


def _submission(opened: Installation, user: SmtpUser, now: float) -> dict[str, Any]:
    """May it submit at all, now?"""
    refused = refuse_user(user, now)
    if refused is None and (user.limit_hour or user.limit_day):
        queue = opened.queue
        used = [run(_used(queue, user.id, window_start(now, span))) for span in (_HOUR, _DAY)]
        quota = UserQuota(now, used_hour=used[0], used_day=used[1])
        over = quota.reserve(now, user.limit_hour, user.limit_day)
        refused = over.reply(user.username) if over else None
    return {
        "accepted": refused is None,
        "reply": None if refused is None else str(refused),
        "limit_hour": user.limit_hour,
        "limit_day": user.limit_day,
        "recall": user.recall or None,
        "duplicates": user.duplicates or None,
    }


async def _used(queue: IQueue, user_id: int, since: float) -> int:
    return await queue.used(user_id, since)


def _sender(opened: Installation, user: SmtpUser, sender: Address | None) -> dict[str, Any]:
    rights = SenderRights.of(user, run(opened.accounts.sender_domains(user.account_id)))
    domains = sorted(one for one in rights.verified if rights.refusal(Address("any", one)) is None)
    found: dict[str, Any] = {"domains": domains, "senders": sorted(rights.senders)}
    if sender is not None:
        why = rights.refusal(sender)
        found |= {"asked": str(sender), "allowed": why is None, "why": why}
    return found


def _recipient(
    config: Config,
    opened: Installation,
    mail_list: MailList,
    effective: Effective,
    to: Address,
    now: float,
) -> dict[str, Any]:
    """What the address is known for, and whether it would be mailed."""
    refused = refuse_recipient(to, config.server.hostname)
    account_id = mail_list.account_id
    standing = run(opened.suppressions.of(account_id, {to.key})).get(to.key, ())
    held = decide(to, standing, list_id=mail_list.id, stream=mail_list.stream, now=now)
    bypass = bypass_of(standing, list_id=mail_list.id, now=now)
    reply = refused or refusal(held, effective.suppressed_reply)
    known = run(opened.recipients.recipient(account_id, str(to)))
    return {
        "accepted": reply is None,
        "reply": None if reply is None else str(reply),
        "mailed": reply is None and held is None,
        "suppressed": None if held is None else held.text,
        "bypass": None if bypass is None else _bypassed(standing, bypass, mail_list, now),
        "known_since": moment(known[0].first_mail_at) if known else None,
        "mails": known[0].mails if known else 0,
    }


def _bypassed(
    standing: Sequence[Suppression], bypass: Suppression, mail_list: MailList, now: float
) -> str:
    """An operator's bypass, and what it may pass."""
    others = [one for one in standing if one.reason is not Reason.BYPASS]
    passed = [one.reason.value for one in others if one.holds(mail_list.id, now)]
    until = "" if bypass.expires_at is None else f" until {moment(bypass.expires_at)}"
    what = ", ".join(dict.fromkeys(passed)) or "nothing"
    return f"by an operator since {moment(bypass.since)}{until}; beside it stands {what}"


def _campaign(
    user: SmtpUser,
    mail_list: MailList,
    effective: Effective,
    sender: Address | None,
    subject: str,
    now: float,
) -> dict[str, Any]:
    facts = CampaignFacts(
        received_at=now,
        subject=subject,
        sender=str(sender) if sender else "",
        username=user.username,
        default_code=user.campaign,
    )
    zone = ZoneInfo(effective.timezone)
    found = bucket(effective.aggregation, facts, zone, mail_list.learnt)
    return {"policy": effective.aggregation, **asdict(found)}


def _route(opened: Installation, to: Address) -> dict[str, Any]:
    """Where it would be taken, in the order of trying."""
    config = opened.config
    settings = relay_settings(config, None, opened.secret)
    if config.relay.deliver == "sandbox" and not _is_routed(config, to):
        return {"via": "sandbox", "hosts": [], "error": None}
    clock = BlockingClock()
    resolver = Resolver(
        clock,
        InlineWorkers(),
        Spawn(clock),
        nameservers=config.dns.nameservers,
        total_seconds=config.dns.timeout.seconds,
    )
    router = Router(
        routing=settings.routing,
        resolver=resolver,
        our_names=settings.our_names,
        is_own_address=lambda _ip: False,
    )
    try:
        targets = run(router.targets(to))
    except RouteFailedError as error:
        return {"via": None, "hosts": [], "error": str(error.outcome.text)}
    return {
        "via": "configured" if targets[0].configured else "mx",
        "hosts": [f"{one.host} [{one.ip}]:{one.port}" for one in targets],
        "error": None,
    }


def _is_routed(config: Config, to: Address) -> bool:
    domain = to.ascii_domain
    parents = [f"*.{domain.split('.', n)[n]}" for n in range(1, domain.count(".") + 1)]
    return any(one in config.relay.routes for one in (domain, *parents, "*"))


def _verdict(found: dict[str, Any]) -> str:
    """One sentence: the first thing that stands in the way, or none."""
    for part in ("submission", "recipient"):
        if not found[part]["accepted"]:
            return f"refused: {found[part]['reply']}"
    if found["sender"].get("allowed") is False:
        return f"refused: {found['sender']['why']}"
    if not found["sender"]["domains"] and not found["sender"]["senders"]:
        return "refused: the user's account has no verified sender domain it may use"
    if not found["recipient"]["mailed"]:
        return f"accepted and not mailed: {found['recipient']['suppressed']}"
    if found["route"]["error"]:
        return f"accepted, and not deliverable now: {found['route']['error']}"
    hosts = found["route"]["hosts"]
    return f"accepted and delivered to {hosts[0] if hosts else 'the sandbox'}"
