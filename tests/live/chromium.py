"""A headless Chromium, spoken to over its DevTools protocol by a pipe: no port, no library."""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.live.peers import needs

__all__ = ["Chromium"]

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--remote-debugging-pipe", "--hide-scrollbars",
)  # fmt: skip
# Chromium wants the pipes as descriptors 3 and 4, whatever they are here.
_LAUNCH = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]
for wanted, pipe in zip((3, 4), pipes):
    os.dup2(pipe, wanted)
    os.close(pipe)
os.execv(sys.argv[3], sys.argv[3:])
"""
_SECONDS = 30.0
_DOMAINS = ("Page", "Runtime", "Log", "Network")


class _Process:
    """The browser of this run, from outside; `number` counts what it was asked."""

    def __init__(self) -> None:
        program = needs("chromium")
        self.folder = Path(tempfile.mkdtemp(prefix="smtpplus-chromium-"))
        in_read, self._in = os.pipe()
        self._out, out_write = os.pipe()
        command = [sys.executable, "-c", _LAUNCH, str(in_read), str(out_write), program, *_FLAGS]
        command += [f"--user-data-dir={self.folder / 'profile'}", "about:blank"]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                pass_fds=(in_read, out_write),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(in_read)
        os.close(out_write)
        self._received = b""
        self.number = 0
        self.is_well = True

    def send(self, message: dict[str, Any]) -> int:
        """Ask; the number of the answer."""
        self.number += 1
        os.write(self._in, json.dumps({"id": self.number, **message}).encode() + b"\0")
        return self.number

    def next(self) -> dict[str, Any]:
        """What it says next."""
        deadline = time.monotonic() + _SECONDS
        while b"\0" not in self._received:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._out], [], [], max(left, 0))
            octets = os.read(self._out, 1 << 20) if ready else b""
            if not octets:
                self.is_well = False
                said = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise AssertionError(f"Chromium does not answer: {said}")
            self._received += octets
        message, _, self._received = self._received.partition(b"\0")
        return dict(json.loads(message))

    def stop(self) -> None:
        """End it, and leave nothing behind."""
        with contextlib.suppress(OSError):
            os.close(self._in)  # it ends when the pipe does
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        os.close(self._out)
        shutil.rmtree(self.folder, ignore_errors=True)


_running: list[_Process] = []


def _process() -> _Process:
    if _running and not _running[0].is_well:
        _running.pop().stop()
    if not _running:
        _running.append(_Process())
    return _running[0]


@atexit.register
def _stop_all() -> None:
    for one in _running:
        one.stop()


class Chromium:
    """A person's browser with one tab: cookies, cache and settings are its own.

    One process serves the whole run. `complaints` is what its console said of errors, `dialogs`
    what popped up, `status` the HTTP status of the document that was opened last.
    """

    def __init__(self, test: SynchronousTestCase) -> None:
        self._process = _process()
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self.dialogs: list[str] = []
        self.status = 0
        self._answers: Callable[[str], tuple[str, bytes] | None] | None = None
        mine = self.call("Target.createBrowserContext")
        test.addCleanup(self._leave, mine["browserContextId"])
        target = self.call("Target.createTarget", url="about:blank", **mine)["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in _DOMAINS:
            self.call(f"{domain}.enable")

    def look(self, width: int, *, dark: bool) -> None:
        """The width of the window, and the colours that are asked for."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def answered_by(self, answers: Callable[[str], tuple[str, bytes] | None]) -> None:
        """From now on nothing goes over the network.

        `answers` says of which type the content of a URL is, and the content; or None: the
        request fails.
        """
        self._answers = answers
        self.call("Fetch.enable", patterns=[{"urlPattern": "*"}])

    def open(self, url: str) -> None:
        """Go there, and wait until everything is loaded."""
        self._loading(lambda: self.call("Page.navigate", url=url))

    def linger(self, url: str, milliseconds: int) -> str:
        """Go there, let so much of the page's own time pass; its HTML then."""
        self.open(url)
        self.call("Emulation.setVirtualTimePolicy", policy="advance", budget=milliseconds)
        self._until("Emulation.virtualTimeBudgetExpired")
        self.call("Emulation.setVirtualTimePolicy", policy="advance")  # it has stood still
        return str(self.ask("document.documentElement.outerHTML"))

    def press(self, selector: str) -> None:
        """Click, and wait for the next page."""
        self._loading(lambda: self.ask(f"document.querySelector({json.dumps(selector)}).click()"))

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in found:
            raise AssertionError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """The whole page as a picture."""
        path.write_bytes(self.picture())

    def picture(self, **clip: float) -> bytes:
        """The page as a PNG, whole or the `clip` with `x`, `y`, `width`, `height`."""
        if clip:
            clip["scale"] = 1
        wanted = {"clip": clip} if clip else {}
        taken = self.call("Page.captureScreenshot", captureBeyondViewport=True, **wanted)
        return base64.b64decode(taken["data"])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol."""
        number = self._send(method, parameters)
        while True:
            message = self._process.next()
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                return dict(message["result"])
            self._note(message)

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        message: dict[str, Any] = {"method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        return self._process.send(message)

    def _loading(self, begin: Callable[[], object]) -> None:
        self._events.clear()
        begin()
        self._until("Page.loadEventFired")
        self.ask("new Promise(requestAnimationFrame) && 1")  # what the console has to say is said

    def _until(self, method: str) -> None:
        while not any(event["method"] == method for event in self._events):
            self._note(self._process.next())

    def _note(self, event: dict[str, Any]) -> None:
        method, about = event.get("method", ""), event.get("params", {})
        if not method or event.get("sessionId") != self._session:
            return  # an answer that nobody waits for, or of a tab that was left
        self._events.append(event)
        if method == "Page.javascriptDialogOpening":
            self.dialogs.append(about["message"])
            self._send("Page.handleJavaScriptDialog", {"accept": False})
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(about["exceptionDetails"].get("text")))
        elif method == "Runtime.consoleAPICalled" and about["type"] in {"error", "warning"}:
            self.complaints.append(str(about["args"]))
        elif method == "Log.entryAdded" and about["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
        elif method == "Network.responseReceived" and about["type"] == "Document":
            self._note_document(about)
        elif method == "Fetch.requestPaused":
            self._answer(about)

    def _answer(self, about: dict[str, Any]) -> None:
        assert self._answers is not None
        found = self._answers(about["request"]["url"])
        request = {"requestId": about["requestId"]}
        if found is None:
            self._send("Fetch.failRequest", {**request, "errorReason": "InternetDisconnected"})
            return
        kind, content = found
        headers = [{"name": "Content-Type", "value": kind}]
        body = base64.b64encode(content).decode()
        answer = {**request, "responseCode": 200, "responseHeaders": headers, "body": body}
        self._send("Fetch.fulfillRequest", answer)

    def _note_document(self, about: dict[str, Any]) -> None:
        if about["requestId"] == about["loaderId"]:  # the page, not one of its frames' parts
            self.status = about["response"]["status"] if not self._is_frame(about) else self.status

    def _is_frame(self, about: dict[str, Any]) -> bool:
        return any(
            event["method"] == "Page.frameAttached"
            and event["params"]["frameId"] == about.get("frameId")
            for event in self._events
        )

    def _leave(self, context: str) -> None:
        if self._process.is_well:
            self._session = None
            self.call("Target.disposeBrowserContext", browserContextId=context)
