"""The site with tracking, over ports in memory that keep what they were told."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from zope.interface import implementer

from smtpplus.message.token import TokenFacts, Tokens
from smtpplus.message.tracking_urls import LinkTarget, click_url, open_url, unsubscribe_url
from smtpplus.ports import IRecipients, IResponses, MailRow, RecipientRow, SubscriptionRow
from smtpplus.values.errors import NotFoundError
from smtpplus.values.response import Response
from smtpplus.web.context import TrackingPorts
from smtpplus.web.site import make_site
from tests.web.browser import PageTestCase
from tests.web.house import NOW

__all__ = ["SECRET", "MemoryResponses", "TrackingTestCase", "target"]

SECRET = b"an installation's own secret, 32"
_ADDRESS = "anna.rossi@example.net"


def target(url: str) -> LinkTarget:
    """A link's target."""
    found = LinkTarget.of(url)
    assert found is not None
    return found


@implementer(IResponses, IRecipients)
class MemoryResponses:
    """One recipient. `error` is raised by everything while it is set."""

    def __init__(self, lists: Mapping[int, str]) -> None:
        self.lists = dict(lists)
        self.groups: list[list[Response]] = []
        self.mistaken: list[Response] = []
        self.changes: list[Response] = []
        self.inactive: set[int] = set()
        self.times: dict[int, float] = {}
        self.gone: set[int] = set()
        self.error: Exception | None = None
        self.record_errors: list[Exception] = []

    @property
    def recorded(self) -> list[Response]:
        """All of all groups."""
        return [one for group in self.groups for one in group]

    async def record(
        self, responses: Sequence[Response], mistaken: Sequence[Response] = ()
    ) -> None:
        self._check()
        if self.record_errors:
            raise self.record_errors.pop()
        self.mistaken += mistaken
        self.groups.append(list(responses))

    async def unsubscribe(self, response: Response) -> bool:
        self._check()
        if response.delivery_id in self.gone:
            raise NotFoundError("gone")
        if response.list_id in self.inactive:
            return False
        self.inactive.add(response.list_id)
        self.changes.append(response)
        return True

    async def resubscribe(self, response: Response) -> bool:
        self._check()
        if response.list_id not in self.inactive:
            return False
        self.inactive.discard(response.list_id)
        self.changes.append(response)
        return True

    async def delivery(self, message_id: int, delivery_id: int) -> tuple[str, str, float] | None:
        self._check()
        if delivery_id in self.gone:
            return None
        return _ADDRESS, next(iter(self.lists.values())), self.times.get(delivery_id, 0.0)

    async def delivered_at(self, delivery_ids: Collection[int]) -> Mapping[int, float]:
        self._check()
        return {one: self.times[one] for one in delivery_ids if one in self.times}

    async def recipients(
        self,
        account_id: int | None,
        search: str,
        before: int | None,
        most: int,
        down_to: int | None = None,
    ) -> Sequence[RecipientRow]:
        return []

    async def reach(self, account_id: int | None, search: str, before: int | None) -> int | None:
        return None

    async def mails(
        self, account_id: int | None, address: str, before: int | None, most: int
    ) -> Sequence[MailRow]:
        return []

    async def recipient(self, account_id: int | None, address: str) -> Sequence[RecipientRow]:
        self._check()
        rows = tuple(
            SubscriptionRow(list_id, name, list_id not in self.inactive, NOW)
            for list_id, name in self.lists.items()
        )
        made = RecipientRow(1, account_id or 0, address, "Anna", {}, NOW, NOW, subscriptions=rows)
        return [made]

    async def known(self, account_id: int | None, address: str) -> Sequence[RecipientRow]:
        """As `recipient`."""
        return await self.recipient(account_id, address)

    async def erase(self, account_id: int | None, address: str, now: float, by: str) -> int:
        return 0

    def _check(self) -> None:
        if self.error is not None:
            raise self.error


class TrackingTestCase(PageTestCase):
    """`facts` name a delivery of the first account's list; `kept` is what the store was told."""

    alone = True
    tracking_url = ""

    def setUp(self) -> None:
        super().setUp()
        tenant = self.house.tenants[0]
        self.list_id = tenant.mail_list.id
        self.kept = MemoryResponses({self.list_id: "orders", 4711: "offers"})
        self.tokens = Tokens([SECRET])
        self.facts = TokenFacts(tenant.account.id, self.list_id, 1 << 62, (1 << 62) + 1)
        tracking = TrackingPorts(self.tokens, self.kept)
        self.ports = replace(self.ports, recipients=self.kept, tracking=tracking)
        self.settings = replace(self.settings, tracking_url=self.tracking_url)
        self.site = make_site(self.ports, self.settings, self.clock)

    def open_path(self, facts: TokenFacts | None = None) -> str:
        """Of a pixel."""
        return open_url("", self.tokens, facts or self.facts, NOW)

    def click_path(
        self, url: str, link: int = 0, facts: TokenFacts | None = None, links: int = 0
    ) -> str:
        """Of a tracked link."""
        return click_url("", self.tokens, facts or self.facts, NOW, target(url), link, links)

    def unsubscribe_path(self, facts: TokenFacts | None = None) -> str:
        """Of the page."""
        return unsubscribe_url("", self.tokens, facts or self.facts, NOW)
