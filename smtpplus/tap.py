"""What ``twistd smtpplus`` runs: options, configuration (or the trial), the service.

Guarantees: what keeps the service from starting is told on standard error, without a
traceback, and the exit status is not 0; nothing is left open when twistd forks. The only module
that imports the global reactor.
"""

from __future__ import annotations

import atexit
import os
import pwd
import secrets
import signal
import sys
import syslog
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from twisted.application.service import MultiService
from twisted.logger import ILogObserver, Logger, globalLogBeginner
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from twisted.python.usage import Options as UsageOptions

from smtpplus import tuning

tuning.before_openssl()
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what it asks for is being done, until `Hangup`

from smtpplus.assembly import Assembly, assemble
from smtpplus.banner import banner, left_behind
from smtpplus.config import TRIAL_FOLDER, Config, find_configuration, load, of_values
from smtpplus.hangup import Hangup
from smtpplus.installation import open_installation, run
from smtpplus.log import LeastLevel, LogWriter, json_log
from smtpplus.net.clock import make_monotonic
from smtpplus.net.quick_poll import poll_quickly
from smtpplus.ownership import hand_over
from smtpplus.sibling import Sibling
from smtpplus.siblings import SiblingOf, in_effect
from smtpplus.stopping import stop_once
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
    poll_quickly(reactor)
    tuning.when_starting()
    try:
        config, facts = _configuration(options)
        text = banner(config, facts, options["set"]) if facts is not None else None
        log, least = LogWriter(), LeastLevel(config.log.level)
        service = assemble(config, reactor, log.put, least, options["set"])
        path = config.file
    except (SmtpplusError, OSError) as error:
        raise SystemExit(f"smtpplus: {error}") from error
    twistd: MutableMapping[str, Any] = getattr(options, "parent", None) or {}
    if text is not None and not twistd.get("nodaemon", True):
        _say(text)  # the terminal is gone after the fork
    left = left_behind(facts) if facts is not None else None

    def load_again() -> Config:
        return load(path, options["set"], with_files=True)

    hangup = Hangup(service, least, load_again)
    return _Service(service, config, hangup, twistd, text, left, reactor, log, least)


def _configuration(options: Options) -> tuple[Config, Facts | None]:
    """The configuration, and of a trial what to tell about it."""
    path = find_configuration(options["config"], os.environ)
    if path is not None:
        config = load(path, options["set"], with_files=True)
        return config, _facts_again(config) if config.relay.deliver == "sandbox" else None
    facts = set_up(
        TRIAL_FOLDER, now=time.time(), random=secrets.token_bytes, settings=options["set"]
    )
    return load(Path(facts.config), options["set"], with_files=True), facts


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
        hangup: Hangup,
        twistd: MutableMapping[str, Any],
        text: str | None,
        left: str | None,
        reactor: Any,
        log: LogWriter,
        least: LeastLevel,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._assembled = service
        self._hangup = hangup
        self._config = config
        self._lines = log
        self._least = least
        self._twistd = twistd
        self._text = text
        self._left = left
        self._status_pipe: int | None = None
        self._reactor = reactor
        service.setServiceParent(self)  # type: ignore[no-untyped-call]

    def setServiceParent(self, parent: Any) -> None:
        """Hand the log to the application, where twistd's options leave it to us."""
        if not isinstance(parent, Componentized):
            pass
        elif self._twistd.get("syslog"):  # an observer of twistd's own takes all but the mail
            self._lines.open(lambda text: [syslog.syslog(one) for one in text.split("\n") if one])
        else:
            self._lines.open(*self._log_file())
            parent.setComponent(ILogObserver, json_log(self._lines.put, self._least))  # type: ignore[no-untyped-call]
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def privilegedStartService(self) -> None:
        """As root, and about to become somebody else: bind ports, hand the files over."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        uid, gid = self._twistd.get("uid"), self._twistd.get("gid")
        if os.geteuid() != 0 or (uid is None and gid is None):
            return
        try:
            self._assembled.bind()
            if uid is not None:
                gid = pwd.getpwuid(uid).pw_gid if gid is None else gid
                hand_over(self._config, uid, gid, *self._log_files())
        except (SmtpplusError, OSError) as error:
            raise SystemExit(f"smtpplus: {error}") from error

    def startService(self) -> None:
        """Start; tell when all is up, or why it is not."""
        # twistd's parent process waits for a word on this pipe: it is to be the true one.
        self._status_pipe = self._twistd.pop("statusPipe", None)
        self._lines.start()
        self._reactor.addSystemEventTrigger("after", "shutdown", self._lines.stop)
        self._assembled.started.addCallbacks(lambda _: self._announce(), self._give_up)
        super().startService()  # type: ignore[no-untyped-call]
        # The reactor sets its own signals when it begins to run: ours come after those.
        self._reactor.callWhenRunning(self._hangup.watch, self._reactor)
        self._reactor.callWhenRunning(stop_once, self._reactor)

    @property
    def _is_foreground(self) -> bool:
        return bool(self._twistd.get("nodaemon", True))

    def _announce(self) -> None:
        self._log.info("smtpplus is ready")
        tuning.when_ready()
        self._tell_parent(b"0")
        if self._text is not None and self._is_foreground:
            _say(self._text)

    def _give_up(self, failure: Failure) -> None:
        """Say why on one line, stop the reactor, end with status 1."""
        text = failure.getErrorMessage()
        if failure.check(SmtpplusError):  # type: ignore[no-untyped-call]
            self._log.error("smtpplus does not start: {reason}", reason=text)
        else:
            self._log.failure("smtpplus does not start", failure)
        self._tell_parent(b"1 " + text.encode("ascii", "backslashreplace")[:_STATUS_OCTETS])
        if sys.__stderr__ is not None:
            print(f"smtpplus: {text}", file=sys.__stderr__, flush=True)
        if self._left is not None and self._is_foreground:
            _say(self._left)
        atexit.register(_exit_badly, self._lines)
        self._reactor.callWhenRunning(self._reactor.stop)

    def _tell_parent(self, word: bytes) -> None:
        pipe, self._status_pipe = self._status_pipe, None
        if pipe is not None:
            os.write(pipe, word)
            os.close(pipe)

    def _log_files(self) -> list[Path]:
        name = self._log_name
        return [] if name == "-" else [Path(name).absolute()]

    @property
    def _log_name(self) -> str:
        """Where twistd would log: its --logfile, standard output (-), or twistd.log."""
        default = "-" if self._is_foreground else "twistd.log"
        return str(self._twistd.get("logfile") or default)

    def _log_file(self) -> tuple[Callable[[str], object], Callable[[], object]]:
        name = self._log_name
        if name == "-":
            return sys.stdout.write, sys.stdout.flush
        file = LogFile.fromFullPath(name, rotateLength=_LOG_FILE_OCTETS, maxRotatedFiles=_LOG_FILES)  # type: ignore[no-untyped-call]
        return file.write, file.flush


def _run_as_sibling(told: SiblingOf) -> int:
    """Be another process of a service (`smtpplus.siblings`)."""
    from twisted.internet import reactor  # noqa: PLC0415 - as above

    make_monotonic(reactor)
    poll_quickly(reactor)
    tuning.when_starting()
    path, settings = Path(told.config) if told.config else None, list(told.settings)
    config = of_values(in_effect(), path)
    log, least = LogWriter(), LeastLevel(config.log.level)
    log.open(sys.stdout.write, sys.stdout.flush)
    globalLogBeginner.beginLoggingTo([json_log(log.put, least)], redirectStandardIO=False)
    service = assemble(config, reactor, log.put, least, settings, told)
    hangup = Hangup(service, least, lambda: load(path, settings, with_files=True))
    return Sibling(service, reactor, log, hangup).run()


def _say(text: str) -> None:
    """Print to the terminal: sys.stdout is the log by now."""
    if sys.__stdout__ is not None:
        print(text, file=sys.__stdout__, flush=True)


def _exit_badly(log: LogWriter) -> None:
    log.stop()
    if sys.__stdout__ is not None:
        sys.__stdout__.flush()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(_run_as_sibling(msgspec.json.decode(sys.argv[1], type=SiblingOf)))
