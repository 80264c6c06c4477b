"""The command line, called in this process on an installation of its own."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import Any, ClassVar
from unittest import TestCase, mock

from smtpplus.cli.program import exit_status

__all__ = ["Shell"]


class Shell:
    """A set-up trial in `folder`; `run` calls ``smtpplus`` with its configuration.

    It is a copy of the first one of this process: making keys takes a while. `typed` is what
    stands on standard input: whoever asks beyond it is told that nobody is there.
    """

    _first: ClassVar[tuple[Path, dict[str, Any]] | None] = None

    def __init__(self, test: TestCase, folder: Path) -> None:
        self._test = test
        self.folder = folder
        self.typed = ""
        if Shell._first is None:
            made = json.loads(self._call("--json", "init", f"{folder}.first")[1])
            Shell._first = Path(f"{folder}.first"), made
        source, facts = Shell._first
        shutil.copytree(source, folder)
        self.facts: dict[str, Any] = {**facts, "config": str(folder / "smtpplus.toml")}

    def run(self, *arguments: str, status: int = 0) -> tuple[str, str]:
        """What it printed on standard output and standard error."""
        found, out, err = self._call("--config", self.facts["config"], *arguments, typed=self.typed)
        self._test.assertEqual(found, status, f"{arguments}:\n{out}{err}")
        return out, err

    def json(self, *arguments: str, status: int = 0) -> Any:
        """Its JSON."""
        return json.loads(self.run(*arguments, "--json", status=status)[0])

    def refused(self, *arguments: str) -> str:
        """The one line of a command that was refused."""
        out, err = self.run(*arguments, status=1)
        self._test.assertEqual((out, err.count("\n")), ("", 1), err)
        return err

    @staticmethod
    def _call(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        stdin = mock.patch("sys.stdin", io.StringIO(typed))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), stdin:
            status = exit_status(list(arguments))
        return status, out.getvalue(), err.getvalue()
