"""What ``twistd smtpplus`` runs: options, configuration (or the trial), the service.

Guarantees: what keeps the service from starting is told on standard error, without a
traceback, and the exit status is not 0; nothing is left open when twistd forks. The only module
that imports the global reactor.
"""

from __future__ import annotations

import atexit
import errno
import os
import secrets
import sys
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, ClassVar

from twisted.application.service import MultiService
from twisted.internet.error import CannotListenError
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from twisted.python.usage import Options as UsageOptions

from smtpplus.assembly import Assembly, assemble
from smtpplus.banner import banner, left_behind
from smtpplus.config import TRIAL_FOLDER, Config, find_configuration, load
from smtpplus.installation import open_installation, run
from smtpplus.log import json_log
from smtpplus.net.clock import make_monotonic
from smtpplus.trial import Facts, set_up, sign_in_link
from smtpplus.values.errors import SmtpplusError
from smtpplus.values.submission import Role

__all__ = ["Options", "makeService"]

_LOG_FILE_OCTETS = 64 * 1024 * 1024
_LOG_FILES = 8
_STATUS_OCTETS = 97  # twistd's parent reads 100


class Options(UsageOptions):
    """``twistd smtpplus``'s own."""

    optParameters: ClassVar[list[list[Any]]] = [  # noqa: N815 - twisted's name
        ["config", "c", None, "The configuration file; see the README for where it is sought."],
    ]
    longdesc = (
        "Runs smtpplus. Without a configuration a trial is set up in ./smtpplus-data, on "
        "loopback, and run."
    )

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["set"] = []

    def opt_set(self, setting: str) -> None:
        """Override a key of the configuration: section.key=value; may be repeated."""
        self["set"].append(setting)


def makeService(options: Options) -> MultiService:
    """The service of the configuration that `options` name."""
    from twisted.internet import reactor  # noqa: PLC0415 - choosing one is twistd's

    make_monotonic(reactor)
    try:
        config, facts = _configuration(options)
        text = banner(config, facts, options["set"]) if facts is not None else None
        service = assemble(config, reactor)
    except (SmtpplusError, OSError) as error:
        raise SystemExit(f"smtpplus: {error}") from error
    twistd: MutableMapping[str, Any] = getattr(options, "parent", None) or {}
    if text is not None and not twistd.get("nodaemon", True):
        _say(text)  # the terminal is gone after the fork
    left = left_behind(facts) if facts is not None else None
    return _Service(service, config, twistd, text, left, reactor)


def _configuration(options: Options) -> tuple[Config, Facts | None]:
    """The configuration, and of a trial what to tell about it."""
    path = find_configuration(options["config"], os.environ)
    if path is not None:
        config = load(path, options["set"])
        return config, _facts_again(config) if config.relay.deliver == "sandbox" else None
    facts = set_up(
        TRIAL_FOLDER, now=time.time(), random=secrets.token_bytes, settings=options["set"]
    )
    return load(Path(facts.config), options["set"]), facts


def _facts_again(config: Config) -> Facts:
    """A trial that was set up before: with a fresh link, and without its secret."""
    with open_installation(config) as installation:
        people = run(installation.people.people())
        operator = next((one for one in people if one.role is Role.OPERATOR), None)
        link = (
            sign_in_link(installation, operator.email, time.time(), secrets.token_bytes)
            if operator is not None
            else ""
        )
    return Facts.of(config, link)


class _Service(MultiService):
    """The assembled service, with twistd around it: log, start, failure, banner."""

    _log = Logger()

    def __init__(
        self,
        service: Assembly,
        config: Config,
        twistd: MutableMapping[str, Any],
        text: str | None,
        left: str | None,
        reactor: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._assembled = service
        self._config = config
        self._twistd = twistd
        self._text = text
        self._left = left
        self._status_pipe: int | None = None
        self._reactor = reactor
        service.setServiceParent(self)  # type: ignore[no-untyped-call]

    def setServiceParent(self, parent: Any) -> None:
        """Hand the log to the application, where twistd's options leave it to us."""
        if isinstance(parent, Componentized) and not self._twistd.get("syslog"):
            write, flush = self._log_file()
            parent.setComponent(ILogObserver, json_log(write, flush, self._config.log.level))  # type: ignore[no-untyped-call]
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def startService(self) -> None:
        """Start; tell when all is up, or why it is not."""
        # twistd's parent process waits for a word on this pipe: it is to be the true one.
        self._status_pipe = self._twistd.pop("statusPipe", None)
        self._assembled.started.addCallbacks(lambda _: self._announce(), self._give_up)
        super().startService()  # type: ignore[no-untyped-call]

    @property
    def _is_foreground(self) -> bool:
        return bool(self._twistd.get("nodaemon", True))

    def _announce(self) -> None:
        self._log.info("smtpplus is ready")
        self._tell_parent(b"0")
        if self._text is not None and self._is_foreground:
            _say(self._text)

    def _give_up(self, failure: Failure) -> None:
        """Say why on one line, stop the reactor, end with status 1."""
        text = _reason(failure)
        if failure.check(SmtpplusError, CannotListenError):  # type: ignore[no-untyped-call]
            self._log.error("smtpplus does not start: {reason}", reason=text)
        else:
            self._log.failure("smtpplus does not start", failure)
        self._tell_parent(b"1 " + text.encode("ascii", "backslashreplace")[:_STATUS_OCTETS])
        if sys.__stderr__ is not None:
            print(f"smtpplus: {text}", file=sys.__stderr__, flush=True)
        if self._left is not None and self._is_foreground:
            _say(self._left)
        atexit.register(_exit_badly)
        self._reactor.callWhenRunning(self._reactor.stop)

    def _tell_parent(self, word: bytes) -> None:
        pipe, self._status_pipe = self._status_pipe, None
        if pipe is not None:
            os.write(pipe, word)
            os.close(pipe)

    def _log_file(self) -> tuple[Callable[[str], object], Callable[[], object]]:
        """Where twistd would log: its --logfile, standard output, or twistd.log."""
        name = self._twistd.get("logfile") or ("-" if self._is_foreground else "twistd.log")
        if name == "-":
            return sys.stdout.write, sys.stdout.flush
        file = LogFile.fromFullPath(name, rotateLength=_LOG_FILE_OCTETS, maxRotatedFiles=_LOG_FILES)  # type: ignore[no-untyped-call]
        return file.write, file.flush


def _say(text: str) -> None:
    """Print to the terminal: sys.stdout is the log by now."""
    if sys.__stdout__ is not None:
        print(text, file=sys.__stdout__, flush=True)


def _reason(failure: Failure) -> str:
    error = failure.value
    if not isinstance(error, CannotListenError):
        return failure.getErrorMessage()
    reason = getattr(error.socketError, "errno", None)
    hint = {
        errno.EADDRINUSE: "Stop what listens there, or choose another port with --set.",
        errno.EACCES: "Ports below 1024 need root or the capability CAP_NET_BIND_SERVICE.",
    }.get(reason or 0, "")
    return f"{failure.getErrorMessage()} {hint}".strip()


def _exit_badly() -> None:
    if sys.__stdout__ is not None:
        sys.__stdout__.flush()
    os._exit(1)
