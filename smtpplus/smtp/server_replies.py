"""What the server side says of its own accord."""

from __future__ import annotations

from smtpplus.smtp.server_states import Step
from smtpplus.values.reply import Reply

# The constants below are public too.
__all__ = ["out_of_order"]

MAX_LINE = 4096  # RFC 5321 §4.5.3.1.4 asks for 512; parameters of extensions need more
MAX_AUTH_LINE = 12_288  # RFC 4954 §4

OK = Reply.of(250, "2.0.0", "OK")
BYE = Reply.of(221, "2.0.0", "Bye")
READY_FOR_TLS = Reply.of(220, "2.0.0", "Ready to start TLS")
CANNOT_VERIFY = Reply.of(252, "2.0.0", "Addresses are not verified; send the message to find out")
HELP = Reply.of(214, "2.0.0", "EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY QUIT")
NOT_OFFERED = Reply.of(502, "5.5.1", "This command is not offered here")
NO_ARGUMENT = Reply.of(501, "5.5.4", "Syntax error: this command takes no argument")
ARGUMENT_MISSING = Reply.of(501, "5.5.4", "Syntax error: this command takes an argument")

LINE_TOO_LONG = Reply.of(500, "5.5.2", f"Line too long: at most {MAX_LINE} octets")
AUTH_TOO_LONG = Reply.of(500, "5.5.6", f"Line too long: at most {MAX_AUTH_LINE} octets")
BARE_LINE_FEED = Reply.of(500, "5.5.2", "Syntax error: a line ends with CR LF, not with LF alone")
FLOOD = Reply.of(421, "4.7.0", "This line has no end")
TOO_EARLY = Reply.of(554, "5.5.0", "Protocol error: you sent before it was your turn")
NOT_HTTP = Reply.of(554, "5.5.1", "This is an SMTP server, not HTTP")
TOO_MANY_ERRORS = Reply.of(421, "4.7.0", "Too many errors on this connection")
TOO_MUCH_JUNK = Reply.of(421, "4.7.0", "Too many commands without a message")

TLS_FIRST = Reply.of(530, "5.7.0", "Must issue a STARTTLS command first")
TLS_IS_UP = Reply.of(503, "5.5.1", "TLS is up already")
AUTH_FIRST = Reply.of(530, "5.7.0", "Authentication required")
AUTH_NEEDS_TLS = Reply.of(538, "5.7.11", "AUTH needs TLS: issue STARTTLS first")
AUTH_DONE = Reply.of(503, "5.5.1", "You are authenticated already")
AUTH_UNKNOWN = Reply.of(504, "5.5.4", "This mechanism is not offered here")
AUTH_FAILED = Reply.of(535, "5.7.8", "Authentication failed: user name or password is wrong")
AUTH_CANCELLED = Reply.of(501, "5.7.0", "Authentication cancelled")
TOO_MANY_AUTHS = Reply.of(421, "4.7.0", "Too many failed authentications")

DUPLICATE = Reply.of(250, "2.1.5", "OK, this recipient is there already")
TOO_MANY_RECIPIENTS = Reply.of(452, "4.5.3", "Too many recipients; send another message")
TOO_MANY_MESSAGES = Reply.of(421, "4.7.0", "Enough messages on this connection; connect again")
NO_RECIPIENTS = Reply.of(554, "5.5.1", "No valid recipients")
GO_ON = Reply.of(354, None, "End the message with a dot on a line of its own")
TOO_LARGE = Reply.of(552, "5.3.4", "The message is larger than this server takes")
BARE_LINE_ENDS = Reply.of(550, "5.6.0", "The message holds a CR without LF or an LF without CR")
BDAT_SYNTAX = Reply.of(501, "5.5.4", "Syntax: BDAT octets [LAST]")
CHUNK_ABSURD = Reply.of(552, "5.3.4", "No message is that large")

_FIRST_HELLO = Reply.of(503, "5.5.1", "Issue EHLO first")
_OUT_OF_ORDER = {
    Step.MAIL: "A transaction is open: end it, or issue RSET, first",
    Step.RCPT: "Issue MAIL first",
    Step.DATA: "Issue MAIL and RCPT first; after BDAT only BDAT can follow",
    Step.BDAT: "Issue MAIL and RCPT first, or RSET after a refused chunk",
    Step.AUTH: "AUTH cannot stand within a transaction",
    Step.STARTTLS: "STARTTLS cannot stand within a transaction",
}


def out_of_order(step: Step, *, greeted: bool, refused: bool) -> Reply:
    """503 for a step that the state does not know (RFC 5321 §4.3.2).

    Args:
        step: what was asked for.
        greeted: was EHLO or HELO said?
        refused: was the client turned away at the greeting?
    """
    if refused:
        return Reply.of(503, "5.5.1", "There is no service for you here; issue QUIT")
    if not greeted:
        return _FIRST_HELLO
    return Reply.of(503, "5.5.1", _OUT_OF_ORDER.get(step, "Commands are out of order"))
