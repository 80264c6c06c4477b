"""Why a delivery stands where it stands: an outcome in a sentence anyone understands.

The sentence comes from the enhanced status code (RFC 3463 and its registry, RFC 5248) where the
code is specific, else from the stage and the reply's class. Guarantees: pure; every outcome gets
a sentence; nothing a peer wrote is part of it but the recipient's own domain. Does not decide
what is done next (`smtpplus.rules.failure` does).
"""

from __future__ import annotations

from smtpplus.values.outcome import Outcome, Result, Stage

__all__ = ["explain"]

# subject and detail → sentence; {domain} is the recipient's, {address} the recipient.
_BY_STATUS: dict[tuple[int, int], str] = {
    (1, 0): "The address {address} was refused by {domain}.",
    (1, 1): "The mailbox does not exist at {domain}.",
    (1, 2): "The domain {domain} does not exist or takes no mail.",
    (1, 3): "{domain} says the address is not well formed.",
    (1, 4): "The address is ambiguous at {domain}: more than one mailbox matches.",
    (1, 6): "The mailbox has moved away from {domain} and left no forwarding address.",
    (1, 7): "{domain} refuses the sender's address: it is not well formed.",
    (1, 8): "{domain} refuses the sender: the sender's domain cannot be found.",
    (1, 10): "The domain {domain} says that it takes no mail at all (null MX).",
    (2, 0): "Something is wrong with the mailbox; {domain} does not say what.",
    (2, 1): "The mailbox is disabled or takes no mail at {domain}.",
    (2, 2): "The mailbox at {domain} is full.",
    (2, 3): "The message is larger than this mailbox takes.",
    (2, 4): "{domain} could not expand the mailing list behind this address.",
    (3, 1): "The mail system of {domain} has no space left.",
    (3, 2): "The mail system of {domain} takes no messages at the moment.",
    (3, 3): "The mail system of {domain} lacks something this message needs.",
    (3, 4): "The message is larger than {domain} takes.",
    (3, 5): "The mail system of {domain} is set up wrongly.",
    (4, 1): "No mail server of {domain} answered.",
    (4, 2): "The connection to {domain} was lost or too slow.",
    (4, 3): "The name servers for {domain} gave no reliable answer.",
    (4, 4): "No mail server could be found for {domain}.",
    (4, 5): "The mail system of {domain} is overloaded.",
    (4, 6): "The mail goes round in circles: a routing loop was found.",
    (4, 7): "The message could not be delivered to {domain} in time.",
    (5, 0): "The mail server of {domain} did not follow the protocol.",
    (5, 3): "{domain} takes no more recipients in one message.",
    (6, 1): "{domain} does not accept this kind of content.",
    (6, 3): "The message would have to be converted, and {domain} cannot take it as it is.",
    (6, 7): "{domain} cannot take internationalised addresses (SMTPUTF8).",
    (6, 9): "{domain} cannot take internationalised messages (SMTPUTF8).",
    (7, 0): "{domain} refuses the message for a reason of policy.",
    (7, 1): "{domain} refuses the message: this sender may not write to this address, "
    "or it was taken for spam.",
    (7, 2): "Only members may write to this mailing list.",
    (7, 5): "The encryption {domain} asks for could not be agreed on.",
    (7, 8): "The next server did not accept our user name and password.",
    (7, 10): "{domain} accepts mail only over an encrypted connection.",
    (7, 13): "{domain} says that the account is disabled.",
    (7, 20): "{domain} found no valid DKIM signature on the message.",
    (7, 21): "{domain} found no DKIM signature it accepts.",
    (7, 22): "{domain} found no DKIM signature of the author's domain.",
    (7, 23): "{domain} refuses the message: SPF does not allow this server to send it.",
    (7, 24): "{domain} could not check SPF.",
    (7, 25): "{domain} refuses our server: its address has no matching reverse DNS name.",
    (7, 26): "{domain} refuses the message: several authentication checks failed.",
    (7, 27): "{domain} refuses the sender: its domain says that it takes no mail.",
    (7, 28): "{domain} says that too much mail came at once.",
}

_BY_STAGE: dict[Stage, str] = {
    Stage.ROUTE: "It could not be found out where mail for {domain} goes.",
    Stage.CONNECT: "No mail server of {domain} could be reached.",
    Stage.GREETING: "The mail server of {domain} did not welcome our connection.",
    Stage.HELLO: "The mail server of {domain} did not accept our name.",
    Stage.STARTTLS: "No encrypted connection to {domain} could be set up.",
    Stage.AUTH: "The next server did not accept our user name and password.",
    Stage.MAIL: "{domain} did not accept the sender.",
    Stage.RCPT: "{domain} did not accept the recipient {address}.",
    Stage.DATA: "{domain} did not want to take the message now.",
    Stage.BODY: "{domain} read the message and did not accept it.",
    Stage.RENDER: "This recipient's copy of the message could not be made.",
}

# Codes that mean something else, or nothing, where they are temporary.
_TRANSIENT: dict[tuple[int, int], str] = {
    (1, 1): "{domain} does not take mail for this mailbox at the moment.",
    (2, 1): "The mailbox at {domain} takes no mail at the moment.",
    (3, 5): "The mail system of {domain} has a problem of its own.",
    (7, 0): "{domain} asks us to come back later, for a reason of policy.",
    (7, 1): "{domain} asks us to come back later (often greylisting: a first message from an "
    "unknown sender has to wait).",
    (7, 8): "The next server could not check our user name and password.",
}

_UNCERTAIN = (
    "The connection to {domain} was lost after the whole message had been sent: "
    "the message may have arrived."
)


def explain(outcome: Outcome, address: str) -> str:
    """One sentence for a person who never saw an SMTP reply; `address` is the recipient."""
    domain = address.rpartition("@")[2] or "the recipient's domain"
    return _sentence(outcome).format(domain=domain, address=address)


def _sentence(outcome: Outcome) -> str:
    if outcome.result is Result.DELIVERED:
        return "The mail server of {domain} accepted the message."
    if outcome.uncertain:
        return _UNCERTAIN
    code = (outcome.status.subject, outcome.status.detail)
    if outcome.status.klass == 4 and code in _TRANSIENT:
        return _TRANSIENT[code]
    return _BY_STATUS.get(code) or _BY_STAGE[outcome.stage]
