"""The sections of the configuration: every key with its kind, its default and what it means.

Guarantees: frozen. The description of a key is what ``smtpplus check-config --explain`` prints;
a test holds ``docs/operations.md`` to it. Times are `Period`, sizes are octets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from smtpplus.config.kinds import Endpoint, HostName, NameServer, Network, Period

__all__ = [
    "ALL_ROLES",
    "Dns",
    "Feedback",
    "Log",
    "Metrics",
    "Relay",
    "Server",
    "Source",
    "Store",
    "Submission",
    "Web",
]

RoleName = Literal["submission", "relay", "feedback", "web"]
ALL_ROLES: tuple[RoleName, ...] = ("submission", "relay", "feedback", "web")

_URL = 'a URL such as "https://mail.example.com"'

Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class Server(Section, frozen=True):
    """The installation as a whole."""

    hostname: Annotated[
        HostName,
        Meta(
            description="The name this service greets with, writes into Received and Message-ID, "
            "and says in EHLO; it should resolve to this machine."
        ),
    ] = HostName("localhost")
    data_dir: Annotated[
        Path,
        Meta(description="The folder of queue, keys and store; made with mode 0700."),
    ] = Path("smtpplus-data")
    roles: Annotated[
        tuple[RoleName, ...],
        Meta(min_length=1, description="What this process does."),
    ] = ALL_ROLES
    node: Annotated[
        str,
        Meta(
            pattern=r"^[\w.-]{1,64}$",
            extra={"expected": "up to 64 letters, digits, dots, hyphens and underscores"},
            description="A name of its own for each service on one store.",
        ),
    ] = "main"
    processes: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="How many processes of this service take mail in and deliver it: one for "
            "each processor. The first has the pages, too. A trial has one.",
        ),
    ] = 1


class Submission(Section, frozen=True):
    """Taking mail in over SMTP."""

    listen: Annotated[
        tuple[Endpoint, ...],
        Meta(description="Addresses for STARTTLS; empty: none."),
    ] = (Endpoint("0.0.0.0:587"),)
    listen_tls: Annotated[
        tuple[Endpoint, ...],
        Meta(description="Addresses for TLS from the first octet; empty: none."),
    ] = (Endpoint("0.0.0.0:465"),)
    certificate: Annotated[
        Path | None,
        Meta(
            description="PEM file of the certificate and its chain. Read again within a minute "
            "when it changes. Without one TLS is not offered."
        ),
    ] = None
    private_key: Annotated[
        Path | None,
        Meta(description="PEM file of its key, without a passphrase."),
    ] = None
    max_message_bytes: Annotated[
        int,
        Meta(ge=65536, le=1 << 30, description="The largest message, octets, announced as SIZE."),
    ] = 31_457_280
    max_recipients: Annotated[
        Count,
        Meta(description="Recipients of one message; more are answered 452 4.5.3."),
    ] = 1000
    max_header_recipients: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000,
            description="Recipients that a message's control headers may name; more are answered"
            " 550 5.5.3.",
        ),
    ] = 10_000
    bare_line_ends: Annotated[
        Literal["normalise", "reject"],
        Meta(description="A CR or LF that stands alone: made CRLF, or the message refused."),
    ] = "normalise"
    show_client: Annotated[
        bool,
        Meta(description="Does the Received header show the client's address and name?"),
    ] = True
    proxy_from: Annotated[
        tuple[Network, ...],
        Meta(description="Networks whose connections begin with a PROXY protocol header (v1, v2)."),
    ] = ()
    max_connections: Annotated[
        Count,
        Meta(description="Connections at a time in all; more are answered 421 4.7.0."),
    ] = 2000
    max_connections_per_address: Annotated[
        Count,
        Meta(description="Connections at a time from one address; more are answered 421 4.7.0."),
    ] = 50


class Source(Section, frozen=True):
    """An outbound address with its EHLO name."""

    ip: Annotated[str, Meta(description="A local IPv4 or IPv6 address to connect from.")]
    ehlo: Annotated[
        HostName | None,
        Meta(description="The name said in EHLO from it; its reverse DNS. Default: relay.ehlo."),
    ] = None


class Relay(Section, frozen=True):
    """Delivering."""

    deliver: Annotated[
        Literal["internet", "smarthost", "sandbox"],
        Meta(
            description="By MX look-up; all to one host; or to the built-in mailbox server, "
            "nothing leaves the machine. `routes` come first, in all three."
        ),
    ] = "internet"
    smarthost: Annotated[
        Endpoint | None,
        Meta(description='The host of deliver = "smarthost".'),
    ] = None
    smarthost_username: Annotated[
        str,
        Meta(
            description="AUTH at the smarthost, through TLS (in the clear only to this machine, "
            'or with tls = "none"); empty: without.'
        ),
    ] = ""
    smarthost_password_file: Annotated[
        Path | None,
        Meta(description="A file whose first line is the smarthost's password."),
    ] = None
    port: Annotated[
        Port,
        Meta(description="The port of MX hosts."),
    ] = 25
    routes: Annotated[
        dict[str, Endpoint],
        Meta(
            description="Recipient domains that go to a host of their own instead of their MX: "
            '{"example.net" = "127.0.0.1:2526"}. "*.example.net" is what is below it, '
            '"*" everything.'
        ),
    ] = field(default_factory=dict)
    sources: Annotated[
        dict[str, Source],
        Meta(description="Outbound addresses by name. None: the system chooses."),
    ] = field(default_factory=dict)
    pools: Annotated[
        dict[str, tuple[str, ...]],
        Meta(
            description="Named sets of sources. The first IPv4 and the first IPv6 address of "
            "the one called default are used, or of the one that a message names."
        ),
    ] = field(default_factory=dict)
    ehlo: Annotated[
        HostName | None,
        Meta(description="The name said in EHLO. Default: server.hostname."),
    ] = None
    retry: Annotated[
        tuple[Period, ...],
        Meta(min_length=1, description="Waits between attempts; the last one repeats."),
    ] = tuple(Period(wait) for wait in ("1m", "5m", "15m", "30m", "1h", "2h", "4h"))
    lifetime: Annotated[
        Period,
        Meta(description="How long a delivery is tried before it is given up and reported."),
    ] = Period("5d")
    delay_notice: Annotated[
        Period,
        Meta(description="When the sender is told that a delivery is delayed."),
    ] = Period("4h")
    concurrency: Annotated[
        Count,
        Meta(description="Sessions at a time to one destination, from each pool."),
    ] = 10
    reuse: Annotated[
        Count,
        Meta(description="Messages sent over one connection before it is closed."),
    ] = 100
    tls: Annotated[
        Literal["none", "may", "require"],
        Meta(description="STARTTLS at the remote: never, where offered, or not without."),
    ] = "may"
    always_seven_bit: Annotated[
        bool,
        Meta(
            description="Convert 8-bit content before it is signed also for hosts that would take "
            "it (a later hop that converts it would break the signature)."
        ),
    ] = False
    recode_long_lines: Annotated[
        bool,
        Meta(
            description="Convert content with lines beyond 998 octets (RFC 5321 §4.5.3.1.6) "
            "instead of sending it as it was submitted."
        ),
    ] = False
    dkim_domain: Annotated[
        HostName | None,
        Meta(
            description="The installation's own domain: mail carries a second DKIM signature by "
            "it where it has an active key. Default: server.hostname and the domains above it."
        ),
    ] = None


class Feedback(Section, frozen=True):
    """Mail that comes back."""

    listen: Annotated[
        tuple[Endpoint, ...],
        Meta(
            description="Addresses where mail to the bounce domain arrives: it unsubscribes whom "
            "List-Unsubscribe's mailto names. Not listened on without a domain, but for a trial."
        ),
    ] = (Endpoint("0.0.0.0:25"),)
    domain: Annotated[
        HostName | None,
        Meta(
            description="The bounce domain: every delivery gets an envelope sender of its own in "
            "it, and List-Unsubscribe an address. Set it once its MX is this machine. Bounces "
            "are not read yet: their senders are told to try again later."
        ),
    ] = None


class Web(Section, frozen=True):
    """The pages."""

    listen: Annotated[
        Endpoint,
        Meta(description="The address of the pages, HTTP; put a TLS proxy in front of it."),
    ] = Endpoint("127.0.0.1:8025")
    public_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s/?#]+(/[^\s?#]*)?)?$",
            extra={"expected": _URL},
            description="Where browsers find the pages. Default: http:// and web.listen.",
        ),
    ] = ""
    tracking_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$",
            extra={"expected": _URL},
            description="Where recipients' programs find opens and clicks (/t/) and unsubscribes "
            "(/u/); https, for one-click unsubscribe. A sender domain's tracking host takes the "
            "place of its host. Nothing else is served under this name, where it is another than "
            "public_url's. Default: public_url.",
        ),
    ] = ""
    trusted_proxies: Annotated[
        tuple[Network, ...],
        Meta(description="Networks whose X-Forwarded-For and -Proto are believed."),
    ] = ()


class Dns(Section, frozen=True):
    """Look-ups."""

    nameservers: Annotated[
        tuple[NameServer, ...],
        Meta(description="Name servers to ask. Default: those of /etc/resolv.conf."),
    ] = ()
    timeout: Annotated[
        Period,
        Meta(description="How long one look-up may take in all."),
    ] = Period("10s")


class Store(Section, frozen=True):
    """Where everything is kept."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^((sqlite:///|postgres(ql)?://).+)?$",
            extra={"expected": '"sqlite:///PATH" or "postgresql://USER@HOST/DATABASE"'},
            description="sqlite:///PATH, or postgresql://USER@HOST/DATABASE for several machines "
            "(passwords stand in a .pgpass file). Default: the store in the queue directory of "
            "data_dir.",
        ),
    ] = ""
    lease: Annotated[
        Period,
        Meta(
            description="With PostgreSQL: how long after the last sign of life of a process its "
            "deliveries are taken over by others. Not less than 3s."
        ),
    ] = Period("60s")


class Metrics(Section, frozen=True):
    """Who may read /metrics on the web port."""

    allow: Annotated[
        tuple[Network, ...],
        Meta(description="Networks whose clients may read /metrics without a token."),
    ] = (Network("127.0.0.0/8"), Network("::1/128"))
    token_file: Annotated[
        Path | None,
        Meta(
            description="A file whose first line is a token that opens /metrics from anywhere: "
            "Authorization: Bearer TOKEN."
        ),
    ] = None


class Log(Section, frozen=True):
    """What is written to the log."""

    level: Annotated[
        Literal["debug", "info", "warn", "error"],
        Meta(description="The least important level that is written."),
    ] = "info"
