"""What becomes of a message in its copies, settled: the head as it goes out, and the plan.

Here meet what the message asked for, its SMTP user and its list (`smtpplus.rules.effective`),
the tokens, and what the installation is called. Guarantees: exactly one Feedback-ID (FI1), never
two List-Unsubscribe (UN4); our own reports are left as they were made. Raises what the accounts
raise. Puts nothing in itself: `smtpplus.message.recipient_copy` does.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TypeAlias
from urllib.parse import urlsplit

from smtpplus.message import list_fields, tracking_urls
from smtpplus.message.copy_plan import CopyFields, CopyPlan, LeftAlone, OwnTo
from smtpplus.message.feedback_id import REPLACED, feedback_id, feedback_id_field
from smtpplus.message.headers import HeaderField, cut_spans, parse_head
from smtpplus.message.list_fields import CfblPolicy, ListFields, ListPolicy, OwnField
from smtpplus.message.own_to import Visible, visible_addresses
from smtpplus.message.part_memory import PartMemory
from smtpplus.message.token import Purpose, TokenFacts, Tokens
from smtpplus.message.tracking_urls import LinkTarget
from smtpplus.message.verp import local_part
from smtpplus.ports import IAccounts, IClock, IQueue
from smtpplus.rules.effective import Effective, settle
from smtpplus.rules.tracking_hosts import tracking_base
from smtpplus.values.address import Address
from smtpplus.values.errors import STORE_ERRORS
from smtpplus.values.message import Delivery, Message
from smtpplus.values.options import NOTHING_SAID, Utm
from smtpplus.values.submission import MailList, SmtpUser, Stream

__all__ = ["Rendered", "Rendering", "RenderingSettings"]

_CopyUrl: TypeAlias = Callable[[CopyFields], str]
_ClickUrl: TypeAlias = Callable[[CopyFields, int, LinkTarget], str]

_PlanKey: TypeAlias = tuple[object, ...]

_MOST_SETTLED = 1_000
_MOST_ANSWERED = 50  # Message-IDs
_MOST_SHOWN = 3  # addresses
_ID = re.compile(r"<[^<>\s]{1,995}>")
_MOST_PLANS = 200
_MOST_OF_PLAN = 10_000  # characters of the merge fields of one that is kept
_ANSWERS = frozenset({"in-reply-to", "references"})
_EDGES = ("header_html", "header_text", "footer_html", "footer_text")
_edges = attrgetter(*_EDGES)
_IN_OWN_THREAD = (
    LeftAlone(-1, "no header and footer: it answers a mail of this list (In-Reply-To, References)"),
)
# What of `Effective` a plan is made of, but for `fields`.
_asked = attrgetter(
    *_EDGES,
    "track_opens",
    "open_tag",
    "track_clicks_html",
    "track_clicks_text",
    "honeypot",
    "unsubscribe",
    "unsubscribe_html",
    "unsubscribe_text",
    "unsubscribe_tag",
    "own_to",
    "bcc_own_to",
    "utm",
    "merge",
    "unescaped",
)
_LIST_FIELDS = frozenset({"list-unsubscribe", "list-unsubscribe-post"})
_NO_FIELDS = ListFields((), unsubscribe=False, kept_own=False, cfbl=None, fixed=b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderingSettings:
    """What the installation is called, and what its tokens are made with.

    `tracking_base` is ``https://host`` without a final slash; `return_domain` is where returns
    arrive, "" while nothing listens for them: the envelope sender then stays the submitter's.
    """

    tokens: Tokens = field(repr=False)
    hostname: str
    sender_id: str
    tracking_base: str
    return_domain: str = ""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message, ready to be made into copies.

    `head` is what we prepended and the submitted head without its cuts; `fields` are its fields.
    `block` are the field lines in front of it, or make them for each recipient. `is_plain`: they
    are the same for all, and nothing else changes but To where it is a recipient's own.
    `left_alone` is what the list wants and the plan leaves out, for this message's sake.
    """

    head: bytes
    fields: tuple[HeaderField, ...]
    plan: CopyPlan
    is_plain: bool
    block: bytes | Callable[[CopyFields], bytes]
    visible: Visible
    left_alone: tuple[LeftAlone, ...] = ()

    def shows(self, address: Address) -> bool:
        """Does this recipient's copy keep To as it was?"""
        if self.plan.own_to is not OwnTo.BCC:
            return self.plan.own_to is OwnTo.OFF
        return address in self.visible

    @property
    def shared_block(self) -> bytes:
        """The field lines in front of a plain copy."""
        assert isinstance(self.block, bytes)
        return self.block

    @property
    def plain_fields(self) -> tuple[HeaderField, ...]:
        """The fields of a plain copy in their order, for its signature."""
        return _parsed(self.shared_block) + self.fields


class Rendering:
    """Settles messages; answers for user and list are kept until one of them changes."""

    def __init__(
        self, *, accounts: IAccounts, queue: IQueue, clock: IClock, settings: RenderingSettings
    ) -> None:
        self._accounts = accounts
        self._queue = queue
        self._clock = clock
        self.settings = settings
        self._settled: dict[tuple[int, int], tuple[SmtpUser, MailList, Effective]] = {}
        self._plans: dict[_PlanKey, tuple[RenderingSettings, CopyPlan]] = {}
        self._parts = PartMemory()

    async def of(
        self,
        message: Message,
        head: bytes,
        names: Collection[str],
        *,
        has_tag: bool = False,
    ) -> Rendered | None:
        """What is done to `message`, whose head goes out as `head`; None: nothing.

        `names` are the merge fields that its recipients bring. Unsubscribe tags are filled in
        where bodies are looked through, and without any other reason where it `has_tag`.
        """
        if not message.mechanism:
            return None  # a report of ours
        user = await self._accounts.user_by_id(message.user_id)
        mail_list = await self._accounts.list_by_id(message.list_id)
        if user is None or mail_list is None:
            return None
        effective = self._effective(message, user, mail_list)
        base = await self._base(message)
        fields = parse_head(head)
        present = {one.name.lower() for one in fields}
        listed = _NO_FIELDS
        domain = message.from_domain
        if self._wants_fields(effective, domain) or not present.isdisjoint(_LIST_FIELDS):
            listed = list_fields.plan(fields, self._policy(effective, mail_list, domain))
        if listed.cuts or not present.isdisjoint(REPLACED):
            spans = {(one.start, one.end) for one in fields if one.lower in REPLACED}
            head = cut_spans(head, tuple(sorted(spans | set(listed.cuts))))
            fields = parse_head(head)
        feedback = _feedback_field(
            message.campaign or "mail",
            message.list_id,
            message.account_id,
            self.settings.sender_id,
            effective.feedback_id,
        )
        is_same = not listed.unsubscribe and listed.cfbl is None
        block: bytes | Callable[[CopyFields], bytes]
        if is_same:
            block = feedback + listed.write()
        else:
            block = functools.partial(self._block, listed, base, feedback)
        visible = visible_addresses(fields)
        has_edges = any(_edges(effective))
        is_own = has_edges and not present.isdisjoint(_ANSWERS)
        if is_own:
            is_own = await self._is_own_thread(message, fields, visible)
        plan = self._kept_plan(effective, base, names, is_own=is_own, has_tag=has_tag)
        is_plain = is_same and not plan.changes_bodies
        left = _IN_OWN_THREAD if is_own else ()
        return Rendered(head, fields, plan, is_plain, block, visible, left)

    def copy_fields(self, delivery: Delivery, links: int = 0) -> CopyFields:
        """What this recipient's copy of a message with so many links is filled with."""
        address = delivery.recipient.address
        return CopyFields(
            address=address,
            name=delivery.name,
            values=delivery.fields,
            delivery_id=delivery.id,
            facts=_facts(delivery),
            links=links,
        )

    def return_path(self, delivery: Delivery) -> Address | None:
        """The envelope sender of this delivery (VE2, YH2); a null one stays null."""
        sender = delivery.message.envelope.sender
        domain = self.settings.return_domain
        if sender is None or not domain or not delivery.message.mechanism:
            return sender
        token = self._token(Purpose.RETURN_PATH, _facts(delivery))
        return Address(local_part(Purpose.RETURN_PATH, token), domain)

    # ------------------------------------------------ what holds

    def _effective(self, message: Message, user: SmtpUser, mail_list: MailList) -> Effective:
        if message.options is not NOTHING_SAID and message.options != NOTHING_SAID:
            return settle(message.options, user, mail_list)
        key = (user.id, mail_list.id)
        known = self._settled.get(key)
        if known is not None and known[0] is user and known[1] is mail_list:
            return known[2]
        if len(self._settled) >= _MOST_SETTLED:
            self._settled.clear()
        found = settle(NOTHING_SAID, user, mail_list)
        self._settled[key] = (user, mail_list, found)
        return found

    async def _base(self, message: Message) -> str:
        """Where links of this sender domain lead: its own tracking host, or the installation's."""
        domains = await self._accounts.sender_domains(message.account_id)
        own = next((one for one in domains if one.domain == message.from_domain), None)
        return tracking_base(self.settings.tracking_base, own)

    async def _is_own_thread(
        self, message: Message, fields: tuple[HeaderField, ...], visible: Visible
    ) -> bool:
        """Does it answer a mail of the same list to one of the same people, or one marked so?

        Where the store cannot say now, it does not: a footer twice is better than no mail.
        """
        if _is_marked(fields, self.settings.hostname.lower()):
            return True
        answered = _answered(fields)
        if not answered:
            return False
        try:
            return await self._queue.has_sent(message, visible.addresses[:_MOST_SHOWN], answered)
        except STORE_ERRORS:
            return False

    def _wants_fields(self, effective: Effective, from_domain: str) -> bool:
        """Does the list, or the domain, want any of its own?"""
        is_subscribed = effective.stream is Stream.SUBSCRIBED
        return effective.unsubscribe or is_subscribed or self._hears_of(from_domain)

    def _hears_of(self, from_domain: str) -> bool:
        """Does feedback of this domain's mail arrive at it (CF1)?"""
        returns = self.settings.return_domain
        return bool(returns) and (returns == from_domain or returns.endswith(f".{from_domain}"))

    def _policy(self, effective: Effective, mail_list: MailList, from_domain: str) -> ListPolicy:
        settings = self.settings
        address = f"fbl@{settings.return_domain}"
        cfbl = CfblPolicy(address) if self._hears_of(from_domain) else None
        return ListPolicy(
            stream=effective.stream,
            unsubscribe=effective.unsubscribe,
            own=OwnField(effective.own_unsubscribe),
            list_id=f"l{mail_list.id}.{settings.hostname.lower()}",
            list_name=mail_list.name,
            cfbl=cfbl,
        )

    # ------------------------------------------------ the plan

    def _kept_plan(
        self,
        effective: Effective,
        base: str,
        names: Collection[str],
        *,
        is_own: bool,
        has_tag: bool,
    ) -> CopyPlan:
        """The same for all messages that want the same, mostly those of a list."""
        wanted = frozenset(names)
        key = (*_asked(effective), *effective.fields.items(), base, wanted, is_own, has_tag)
        known = self._plans.get(key)
        if known is not None and known[0] is self.settings:
            return known[1]
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        is_small = sum(map(len, effective.fields.values())) + 100 * len(wanted) <= _MOST_OF_PLAN
        parts = self._parts if is_small else None  # what is found by a plan keeps it
        plan = self._plan_of(effective, base, wanted, parts, is_own=is_own)
        if plan.unsubscribe_url is None and (has_tag or plan.changes_bodies):
            plan = replace(plan, unsubscribe_url=self._unsubscribe_url(base))
        if is_small:
            self._plans[key] = (self.settings, plan)
        return plan

    def _plan_of(
        self,
        effective: Effective,
        base: str,
        names: frozenset[str],
        parts: PartMemory | None,
        *,
        is_own: bool,
    ) -> CopyPlan:
        """The plan; an answer in the list's own thread gets no header and footer again."""
        own_to = OwnTo.ALL if effective.own_to else OwnTo.OFF
        if own_to is OwnTo.OFF and effective.bcc_own_to:
            own_to = OwnTo.BCC
        edges = ("",) * len(_EDGES) if is_own else _edges(effective)
        clicks = effective.track_clicks_html or effective.track_clicks_text
        return CopyPlan(
            header_html=edges[0],
            header_text=edges[1],
            footer_html=edges[2],
            footer_text=edges[3],
            open_url=self._open_url(base) if effective.track_opens else None,
            open_tag=effective.open_tag,
            click_url=self._click_url(base) if clicks else None,
            click_html=effective.track_clicks_html,
            click_text=effective.track_clicks_text,
            honeypot=LinkTarget.of(f"{base}/") if effective.honeypot else None,
            own_hosts=_hosts(base, self.settings.tracking_base),
            utm=effective.utm if effective.utm != Utm() else None,
            unsubscribe_url=self._unsubscribe_url(base) if effective.unsubscribe else None,
            unsubscribe_tag=effective.unsubscribe_tag,
            unsubscribe_html=effective.unsubscribe_html,
            unsubscribe_text=effective.unsubscribe_text,
            syntaxes=effective.merge,
            fields=effective.fields,
            unescaped=effective.unescaped,
            names=names,
            own_to=own_to,
            parts=parts,
        )

    def _open_url(self, base: str) -> _CopyUrl:
        tokens, now = self.settings.tokens, self._clock.now
        return lambda copy: tracking_urls.open_url(base, tokens, _of(copy), now())

    def _unsubscribe_url(self, base: str) -> _CopyUrl:
        tokens, now = self.settings.tokens, self._clock.now
        return lambda copy: tracking_urls.unsubscribe_url(base, tokens, _of(copy), now())

    def _click_url(self, base: str) -> _ClickUrl:
        tokens, now, made = self.settings.tokens, self._clock.now, tracking_urls.click_url

        def url(copy: CopyFields, link: int, target: LinkTarget) -> str:
            facts = copy.facts
            assert facts is not None
            return made(base, tokens, facts, now(), target, link, copy.links)

        return url

    def _block(self, listed: ListFields, base: str, feedback: bytes, copy: CopyFields) -> bytes:
        """The fields in front of this recipient's head."""
        url = mailto = token = ""
        if listed.unsubscribe:
            made = self._token(Purpose.UNSUBSCRIBE, _of(copy))
            url = f"{_secure(base)}/u/{made}"
            if self.settings.return_domain:
                mailto = f"{local_part(Purpose.UNSUBSCRIBE, made)}@{self.settings.return_domain}"
        if listed.cfbl is not None:
            token = self._token(Purpose.FEEDBACK, _of(copy))
        return feedback + listed.write(url=url, mailto=mailto, feedback_token=token)

    def _token(self, purpose: Purpose, facts: TokenFacts) -> str:
        return self.settings.tokens.make(purpose, facts, self._clock.now())


def _facts(delivery: Delivery) -> TokenFacts:
    message = delivery.message
    return TokenFacts(message.account_id, message.list_id, message.id, delivery.id)


def _of(copy: CopyFields) -> TokenFacts:
    assert copy.facts is not None
    return copy.facts


@functools.lru_cache(maxsize=256)
def _secure(base: str) -> str:
    """RFC 8058 §3.1 wants https; a trial on this machine has no other than http."""
    parts = urlsplit(base)
    is_here = parts.hostname in {"localhost", "::1"} or (parts.hostname or "").startswith("127.")
    return base if is_here or parts.scheme == "https" else f"https{base[len(parts.scheme) :]}"


def _hosts(*bases: str) -> frozenset[str]:
    return frozenset(host for base in bases if (host := urlsplit(base).hostname))


def _answered(fields: tuple[HeaderField, ...]) -> list[str]:
    """The Message-IDs that it answers, the last and thus nearest of many (RFC 5322 §3.6.4)."""
    found = [
        one for field in fields if field.lower in _ANSWERS for one in _ID.findall(field.unfolded)
    ]
    return list(dict.fromkeys(found))[-_MOST_ANSWERED:]


def _is_marked(fields: tuple[HeaderField, ...], host: str) -> bool:
    """Is it an answer in a thread that this installation's lists have marked as theirs?"""
    ids = [one.unfolded.lower().strip() for one in fields if one.lower == "list-id"]
    return any(one.endswith((f".{host}>", f".{host}")) for one in ids)


@functools.lru_cache(maxsize=256)
def _feedback_field(campaign: str, list_id: int, account_id: int, sender: str, own: str) -> bytes:
    return feedback_id_field(
        feedback_id(
            campaign=campaign, list_id=list_id, account_id=account_id, sender=sender, own=own
        )
    )


@functools.lru_cache(maxsize=256)
def _parsed(block: bytes) -> tuple[HeaderField, ...]:
    return parse_head(block)
