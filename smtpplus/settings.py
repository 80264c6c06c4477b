"""From the configuration to what each role is told: the one place where their words meet.

Guarantees: pure, but for the password files that the configuration names. Raises ConfigError
where one of those cannot be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from smtpplus.config import Config
from smtpplus.config.sections import Relay as RelaySection
from smtpplus.feedback.service import FeedbackSettings
from smtpplus.message.feedback_id import sender_id
from smtpplus.message.token import Tokens
from smtpplus.net.listener import ConnectionLimits
from smtpplus.relay.attempt import CourierSettings, Credentials
from smtpplus.relay.rendering import RenderingSettings
from smtpplus.relay.service import RelaySettings
from smtpplus.rules.retry import RetrySchedule
from smtpplus.rules.routing import Deliver, Endpoint, Routing
from smtpplus.rules.tls_policy import TlsLevel
from smtpplus.sandbox.service import SandboxService
from smtpplus.submission.service import SubmissionSettings
from smtpplus.web.context import WebSettings
from smtpplus.writer import WriterOf

__all__ = [
    "STOP_SECONDS",
    "attempts_of_each",
    "feedback_settings",
    "node_name",
    "relay_settings",
    "submission_settings",
    "web_settings",
    "writer_settings",
]

_CONTENT_MEMORY_OCTETS = 64 * 1024 * 1024  # of all contents coming in (R)
_RESERVE_FROM = 4  # with fewer attempts at a time a reserved one would cost too much
STOP_SECONDS = 12.0  # for messages on their way in, then for attempts under way; D12: 30 in all


def relay_settings(
    config: Config, sandbox: SandboxService | None, secret: bytes, processes: int = 1
) -> RelaySettings:
    """What the relay is told; tokens are made with `secret`, the installation's own.

    Each of `processes` takes its share of the attempts at one destination.
    """
    section = config.relay
    ordinary, reserved = attempts_of_each(section.concurrency, processes)
    return RelaySettings(
        hostname=str(config.server.hostname),
        relay_domains=_own_domains(config),
        routing=_routing(section, sandbox),
        courier=_courier(config),
        retry=RetrySchedule(tuple(period.duration for period in section.retry)),
        lifetime=section.lifetime.duration,
        delay_notice=section.delay_notice.duration,
        concurrency=ordinary + reserved,
        reserved=reserved,
        reuse=section.reuse,
        our_names=frozenset({str(config.server.hostname).lower(), str(config.ehlo).lower()}),
        always_seven_bit=section.always_seven_bit,
        recode_long_lines=section.recode_long_lines,
        rendering=RenderingSettings(
            tokens=Tokens([secret]),
            hostname=str(config.server.hostname),
            sender_id=sender_id([str(config.server.hostname), *_own_domains(config)][-1]),
            tracking_base=config.tracking_url,
            return_domain=str(config.feedback.domain or ""),
        ),
    )


def submission_settings(config: Config, secret: bytes, processes: int = 1) -> SubmissionSettings:
    """What submission is told, in each of `processes`."""
    section = config.submission
    return SubmissionSettings(
        hostname=str(config.server.hostname),
        fake_secret=secret,
        listen=tuple(section.listen),
        listen_tls=tuple(section.listen_tls),
        max_message_bytes=section.max_message_bytes,
        max_recipients=section.max_recipients,
        max_header_recipients=section.max_header_recipients,
        pools=frozenset(config.relay.pools) | {"default"},
        bare_line_ends=section.bare_line_ends,
        show_client=section.show_client,
        proxies=tuple(section.proxy_from),
        limits=ConnectionLimits(
            per_address=section.max_connections_per_address,
            total=_share(section.max_connections, processes),
        ),
        content_memory_octets=_share(_CONTENT_MEMORY_OCTETS, processes),
        is_alone=processes == 1 and config.store_url.startswith("sqlite:"),
        lifetime_seconds=config.relay.lifetime.seconds,
        stop_seconds=STOP_SECONDS,
    )


def attempts_of_each(most: int, processes: int) -> tuple[int, int]:
    """Of `most` attempts at a destination: a process's share, and what it keeps for priority 1.

    Each process keeps one for priority 1, as it cannot know of the others' (P13); of fewer than
    four in all none is kept.
    """
    if most < _RESERVE_FROM:
        return _share(most, processes), 0
    return max((most - 1) // processes, 1), 1


def _share(most: int, processes: int) -> int:
    return -(-most // processes)


def feedback_settings(config: Config, secret: bytes) -> FeedbackSettings | None:
    """What feedback is told; None: without a bounce domain nothing comes back."""
    if not config.takes_returns:
        return None
    return FeedbackSettings(
        hostname=str(config.server.hostname),
        domain=str(config.feedback.domain or ""),
        tokens=Tokens([secret]),
        listen=tuple(config.feedback.listen),
        max_message_bytes=config.submission.max_message_bytes,
        stop_seconds=STOP_SECONDS,
    )


def web_settings(config: Config) -> WebSettings:
    """What the pages are told."""
    host, port = _submission_address(config)
    return WebSettings(
        public_url=config.public_url,
        tracking_url=config.tracking_url,
        hostname=str(config.server.hostname),
        trial=config.relay.deliver == "sandbox",
        trusted_proxies=tuple(one.network for one in config.web.trusted_proxies),
        submission_host=host,
        submission_port=port,
        metrics_networks=tuple(one.network for one in config.metrics.allow),
        metrics_token=config.metrics_token(),
    )


def node_name(config: Config, mark: str = "") -> str:
    """What a process is known by in the store; `mark` tells those of one service apart."""
    return f"{config.server.hostname}/{config.server.node}{mark}"


def writer_settings(config: Config) -> WriterOf | None:
    """What the process that writes for all is told; None: a database server does that itself."""
    if not config.store_url.startswith("sqlite:"):
        return None
    return WriterOf(
        url=config.store_url,
        data_dir=str(config.server.data_dir),
        node=node_name(config, ".writer"),
        level=config.log.level,
    )


def _routing(section: RelaySection, sandbox: SandboxService | None) -> Routing:
    return Routing(
        deliver=Deliver(section.deliver),
        port=section.port,
        routes={domain.lower(): _endpoint(where) for domain, where in section.routes.items()},
        smarthost=_endpoint(section.smarthost) if section.smarthost else None,
        sandbox=Endpoint(*sandbox.address) if sandbox else None,
        sandbox_tls_fail=Endpoint(*sandbox.tls_fail_address) if sandbox else None,
    )


def _endpoint(where: Any) -> Endpoint:
    return Endpoint(str(where.host).strip("[]"), where.port)


def _courier(config: Config) -> CourierSettings:
    section = config.relay
    others = {
        name: _from(config, sources) for name, sources in section.pools.items() if name != "default"
    }
    usual = _from(config, section.pools.get("default") or tuple(section.sources))
    return replace(usual, pools={**others, "default": usual})


def _from(config: Config, names: Sequence[str]) -> CourierSettings:
    """Speaking from the first IPv4 and the first IPv6 address of these sources."""
    section = config.relay
    chosen = [section.sources[name] for name in names]
    four = next((one for one in chosen if ":" not in one.ip), None)
    six = next((one for one in chosen if ":" in one.ip), None)
    first = four or six
    return CourierSettings(
        ehlo=str((first.ehlo if first else None) or config.ehlo),
        tls=TlsLevel(section.tls),
        credentials=_credentials(config),
        source_v4=four.ip if four else None,
        source_v6=six.ip if six else None,
    )


def _credentials(config: Config) -> Credentials | None:
    if not config.relay.smarthost_username:
        return None
    return Credentials(config.relay.smarthost_username, config.smarthost_password())


def _own_domains(config: Config) -> tuple[str, ...]:
    """The domains whose key makes the second signature: the first that has one is used."""
    if config.relay.dkim_domain:
        return (str(config.relay.dkim_domain).lower(),)
    labels = config.server.hostname.lower().split(".")
    return tuple(".".join(labels[start:]) for start in range(len(labels) - 1))


def _submission_address(config: Config) -> tuple[str, int]:
    """What the pages tell people to set up: host and STARTTLS port."""
    if not config.submission.listen:
        return config.server.hostname, 587
    endpoint = config.submission.listen[0]
    host = endpoint.host if endpoint.is_loopback else config.server.hostname
    return host, endpoint.port
