"""The ports: what a role may ask of the store, of the net and of its neighbours.

Roles (floor 4) know these interfaces and no implementation; they import them from this package,
not from its modules. Each port says what may be raised and what holds after a crash; a contract
test in ``tests/contracts`` runs over every implementation. All times are Unix seconds, all
methods are called on the reactor thread.
"""

from smtpplus.ports.accounts import IAccounts
from smtpplus.ports.campaigns import CampaignRow, ICampaigns, LinkRow
from smtpplus.ports.contents import IBody, IContents, IContentWriter
from smtpplus.ports.conversation import HangUpError, IConversationRole
from smtpplus.ports.dispatch import IDispatch
from smtpplus.ports.history import AttemptRow, DeliveryRow, IHistory, MessageRow, QueueRow
from smtpplus.ports.machine import IClock, ISpawn, IWorkers
from smtpplus.ports.people import IPeople
from smtpplus.ports.queue import ILease, IQueue, Recovery
from smtpplus.ports.recipients import (
    IRecipients,
    IResponses,
    ISuppressions,
    MailRow,
    RecipientRow,
    SubscriptionRow,
    SuppressionRow,
)
from smtpplus.ports.resolver import IResolver, LookupFailedError, MxHost, NoSuchDomainError
from smtpplus.ports.sandbox import ISandbox, SandboxMail
from smtpplus.ports.sessions import (
    Extensions,
    IDialer,
    ISmtpSession,
    SessionLostError,
    TransactionReplies,
)

__all__ = [
    "AttemptRow",
    "CampaignRow",
    "DeliveryRow",
    "Extensions",
    "HangUpError",
    "IAccounts",
    "IBody",
    "ICampaigns",
    "IClock",
    "IContentWriter",
    "IContents",
    "IConversationRole",
    "IDialer",
    "IDispatch",
    "IHistory",
    "ILease",
    "IPeople",
    "IQueue",
    "IRecipients",
    "IResolver",
    "IResponses",
    "ISandbox",
    "ISmtpSession",
    "ISpawn",
    "ISuppressions",
    "IWorkers",
    "LinkRow",
    "LookupFailedError",
    "MailRow",
    "MessageRow",
    "MxHost",
    "NoSuchDomainError",
    "QueueRow",
    "RecipientRow",
    "Recovery",
    "SandboxMail",
    "SessionLostError",
    "SubscriptionRow",
    "SuppressionRow",
    "TransactionReplies",
]
