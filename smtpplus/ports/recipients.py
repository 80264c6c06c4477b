"""Who was mailed: recipients, what they subscribe to, what keeps mail from them, their answers."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from zope.interface import Interface

from smtpplus.ports.history import DeliveryRow
from smtpplus.rules.suppression import Reason, Suppression
from smtpplus.values.message import Event
from smtpplus.values.response import Response

__all__ = [
    "IRecipients",
    "IResponses",
    "ISuppressions",
    "MailRow",
    "RecipientRow",
    "SubscriptionRow",
    "SuppressionRow",
]


@dataclass(frozen=True, slots=True)
class SuppressionRow:
    """A suppression as people see it; `list_name` "" is the whole account.

    `set_by` is who asked for it, "" the system.
    """

    id: int
    account_id: int
    address: str
    suppression: Suppression
    list_name: str = ""
    lifted_by: str = ""
    set_by: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A recipient's state in one list. `since` is when it became so, Unix seconds."""

    list_id: int
    list_name: str
    is_active: bool
    since: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RecipientRow:
    """A recipient of an account.

    Times are Unix seconds, None: never. Counts are deliveries (`bounced`: bounced or expired),
    but `opens` and `clicks`, which are those of persons.
    """

    id: int
    account_id: int
    address: str
    name: str
    fields: Mapping[str, str]
    first_mail_at: float
    last_mail_at: float
    last_delivery_at: float | None = None
    last_open_at: float | None = None
    last_click_at: float | None = None
    complained_at: float | None = None
    mails: int = 0
    delivered: int = 0
    bounced: int = 0
    opens: int = 0
    clicks: int = 0
    subscriptions: Sequence[SubscriptionRow] = field(default_factory=tuple)
    suppressions: Sequence[SuppressionRow] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class MailRow:
    """One mail to one recipient: the message's facts, its delivery, what happened to it.

    `fields` and `metadata` are what the message said of this recipient: of one to it alone, all.
    """

    message_id: int
    subject: str
    header_from: str
    list_name: str
    received_at: float
    delivery: DeliveryRow
    events: Sequence[Event] = ()
    campaign: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


class IRecipients(Interface):
    """The recipients that an account's mail has made. `account_id` None sees all accounts."""

    async def recipients(
        account_id: int | None,
        search: str,
        before: int | None,
        most: int,
        down_to: int | None = None,
    ) -> Sequence[RecipientRow]:
        """Newest first, ids below `before`, none below `down_to`.

        Without subscriptions and suppressions. `search` is an address, or part of address or name.
        """

    async def reach(account_id: int | None, search: str, before: int | None) -> int | None:
        """Down to which id `recipients` can be found while somebody waits; None: all of them.

        A part is looked for in one recipient after the other, and some thousands are looked
        through; a whole address is found by index.
        """

    async def recipient(account_id: int | None, address: str) -> Sequence[RecipientRow]:
        """The recipient with this address, whole: one for each account that has mailed it."""

    async def known(account_id: int | None, address: str) -> Sequence[RecipientRow]:
        """As `recipient`, and with the accounts that know the address but have not mailed it.

        There it was suppressed, or a test went to it: a row with the id 0, and no time of mail.
        """

    async def mails(
        account_id: int | None, address: str, before: int | None, most: int
    ) -> Sequence[MailRow]:
        """What was to go to this address, newest first; delivery ids below `before`."""

    async def erase(account_id: int | None, address: str, now: float, by: str) -> int:
        """Forget the address (GDPR article 17); how many accounts knew it.

        Recipient, fields and responses go, subjects of what went to it alone, and the names of
        campaigns and links that tell of it; in messages, deliveries and events the address
        becomes unreadable. Suppressions stay, by a keyed hash, so that it is not mailed again.
        """


class ISuppressions(Interface):
    """What keeps mail from addresses, and an operator's bypass. Addresses are `Address.key`."""

    def may_hold(account_id: int, address_key: str) -> bool:
        """At once, from memory: False is certain, True asks for `of`."""

    async def of(
        account_id: int, address_keys: Collection[str]
    ) -> Mapping[str, Sequence[Suppression]]:
        """The suppressions that stand (not lifted) for these addresses, of all lists."""

    async def listed(
        account_id: int | None,
        search: str,
        before: int | None,
        most: int,
        *,
        reason: Reason | None = None,
        list_id: int | None = None,
        standing_at: float | None = None,
    ) -> Sequence[SuppressionRow]:
        """Newest first, ids below `before`; `search` is part of an address.

        Lifted and expired ones are among them, unless `standing_at` (Unix seconds) asks for
        those that stand then. With `list_id` those of that list alone.
        """

    async def add(
        account_id: int, address: str, suppression: Suppression, by: str
    ) -> SuppressionRow:
        """Suppress an address (`by`: who asked for it). One that stands already is answered.

        Not one that ends sooner, nor a bypass that the recipient has spoken against since.
        """

    async def lift(
        account_id: int | None,
        address: str,
        list_id: int | None,
        reason: Reason | None,
        now: float,
        by: str,
    ) -> int:
        """Lift those that stand (of this scope and reason, where given). They stay on record.

        An operator's bypass stays without its reason. A list's unsubscribe takes the
        subscription's end with it.
        """


class IResponses(Interface):
    """Opens, clicks and unsubscribes on their way to the store."""

    def record(responses: Sequence[Response], mistaken: Sequence[Response] = ()) -> Awaitable[None]:
        """Write them, their events, counters and the recipients' counts in one transaction.

        Opens and clicks; those of a message that is gone, or of another account, change nothing.
        `mistaken` were recorded as a person's and were not: each with the class that it gets now,
        else as it was recorded. One that is not found as a person's changes nothing.
        """

    async def unsubscribe(response: Response) -> bool:
        """End the subscription, suppress the address for the list, count it.

        In one transaction, done when it answers (UN1). False: it was ended already, and nothing
        was counted. `response.list_id` may be another list of the account than the message's.

        Raises:
            NotFoundError: the delivery is gone, or is another account's, or so is the list.
        """

    async def resubscribe(response: Response) -> bool:
        """The recipient's own undo; lifts what its unsubscribe had set, nothing else.

        False: there was nothing to undo. Raises as `unsubscribe` does.
        """

    async def delivery(message_id: int, delivery_id: int) -> tuple[str, str, float] | None:
        """Address, name of the list and time of delivery (0.0: not yet) of a token's delivery."""

    async def delivered_at(delivery_ids: Collection[int]) -> Mapping[int, float]:
        """When the remote took each of these, Unix seconds; without those it has not taken.

        One read for all of them: it comes before each group of `record`, to tell scanners.
        """
