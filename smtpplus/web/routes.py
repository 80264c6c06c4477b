"""All pages by their addresses; what is not here does not exist."""

from __future__ import annotations

from smtpplus.web.context import Visit
from smtpplus.web.pages.campaigns import CampaignPages
from smtpplus.web.pages.lists import ListPages
from smtpplus.web.pages.machines import MachinePages
from smtpplus.web.pages.message import MessagePage
from smtpplus.web.pages.messages import MessagesPage
from smtpplus.web.pages.overview import OverviewPage
from smtpplus.web.pages.queue import QueuePage
from smtpplus.web.pages.queue_changes import QueueChangePages
from smtpplus.web.pages.recipients import RecipientPages
from smtpplus.web.pages.sandbox import SandboxPages
from smtpplus.web.pages.settings import SettingsPage
from smtpplus.web.pages.sign_in import SignInPages
from smtpplus.web.pages.statistics import StatisticsPages
from smtpplus.web.pages.suppressions import SuppressionPages
from smtpplus.web.router import Access, Route
from smtpplus.web.shell import Shell
from smtpplus.web.tracking.unsubscribe import UnsubscribePages

__all__ = ["all_routes"]


def all_routes(shell: Shell) -> list[Route[Visit]]:
    """The table."""
    machines, sandbox = MachinePages(shell), SandboxPages(shell)
    changes = QueueChangePages(shell)
    recipients, suppressions = RecipientPages(shell), SuppressionPages(shell)
    campaigns = CampaignPages(shell)
    lists, statistics = ListPages(shell), StatisticsPages(shell)
    tracking = shell.ports.tracking
    unsubscribes = [] if tracking is None else _unsubscribes(UnsubscribePages(shell, tracking))
    sign_in, settings = SignInPages(shell), SettingsPage(shell)
    return [
        *unsubscribes,
        Route("GET", "/healthz", machines.health, Access.PROBE),
        Route("GET", "/readyz", machines.readiness, Access.PROBE),
        Route("GET", "/metrics", machines.metrics, Access.PROBE),
        Route("GET", "/robots.txt", machines.robots, Access.PROBE),
        Route("GET", "/favicon.svg", machines.favicon, Access.PROBE),
        Route("GET", "/static/{name}", machines.static, Access.PROBE),
        Route("GET", "/sign-in", sign_in.ask, Access.PUBLIC),
        Route("POST", "/sign-in", sign_in.by_password, Access.PUBLIC),
        Route("GET", "/sign-in/{token}", sign_in.offer_link, Access.PUBLIC),
        Route("POST", "/sign-in/{token}", sign_in.by_link, Access.PUBLIC),
        Route("POST", "/sign-out", sign_in.sign_out),
        Route("GET", "/settings", settings.show),
        Route("POST", "/settings/password", settings.set_password),
        Route("GET", "/", OverviewPage(shell).show),
        Route("GET", "/messages", MessagesPage(shell).show),
        Route("GET", "/messages/{id}", MessagePage(shell).show),
        Route("GET", "/recipients", recipients.show_all),
        Route("GET", "/recipient", recipients.show),
        Route("GET", "/suppressions", suppressions.show),
        Route("POST", "/suppressions", suppressions.add),
        Route("POST", "/suppressions/bypass", suppressions.bypass),
        Route("GET", "/suppressions/lift", suppressions.ask),
        Route("POST", "/suppressions/lift", suppressions.lift),
        Route("GET", "/campaigns", campaigns.show_all),
        Route("GET", "/campaign", campaigns.show),
        Route("POST", "/campaign/rename", campaigns.rename),
        Route("POST", "/campaign/merge", campaigns.merge),
        Route("GET", "/statistics", statistics.show),
        Route("GET", "/statistics.csv", statistics.download),
        Route("GET", "/lists", lists.show_all),
        Route("GET", "/lists/{id}", lists.show),
        Route("POST", "/lists/{id}", lists.save),
        Route("GET", "/lists/{id}/preview", lists.preview),
        Route("POST", "/lists/{id}/preview", lists.preview),
        Route("GET", "/queue", QueuePage(shell).show),
        Route("GET", "/queue/change", changes.ask),
        Route("POST", "/queue/change", changes.do),
        Route("GET", "/sandbox", sandbox.show_list),
        Route("GET", "/sandbox/{id}", sandbox.show_mail),
        Route("GET", "/sandbox/{id}/html", sandbox.html),
        Route("GET", "/sandbox/{id}/source", sandbox.source),
    ]


def _unsubscribes(pages: UnsubscribePages) -> list[Route[Visit]]:
    """Any Host and no cookie: the token is the right."""
    return [
        Route("GET", "/u/page.css", pages.style, Access.PROBE),
        Route("GET", "/u/{token}", pages.show, Access.PROBE),
        Route("POST", "/u/{token}", pages.change, Access.PROBE),
    ]
