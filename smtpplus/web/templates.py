"""The page templates: where they are, and what may come out of them.

Guarantees: every value is HTML-escaped unless it is markup of ours; control characters, bidi
overrides and lone surrogates in values are replaced by U+FFFD, so no text can change the
direction, the terminal or the encoding of what surrounds it; an undefined name is an error.
Raises `jinja2.TemplateError` for mistakes in a template. Does not read files after the first use.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import smtpplus
from smtpplus.web import words

__all__ = ["Templates", "inert", "templates_folder"]

# C0 without tab and line feed, DEL, C1, line and paragraph separators, bidi embeddings, overrides
# and isolates, lone surrogates, the byte order mark, interlinear annotation.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]"
)


def templates_folder() -> Path:
    """Inside the package where it is installed, beside it in a checkout.

    Raises:
        FileNotFoundError: neither is there; the installation is not complete.
    """
    package = Path(smtpplus.__file__).resolve().parent
    for folder in (package / "templates", package.parent / "templates"):
        if (folder / "pages").is_dir():
            return folder
    raise FileNotFoundError(f"No page templates beside {package}: install smtpplus again.")


def inert(text: str) -> str:
    """`text` with everything that would act instead of being read as U+FFFD."""
    return _UNSAFE.sub("\ufffd", text)


def _finalize(value: Any) -> Any:
    if isinstance(value, Markup):
        return value
    return inert(value) if isinstance(value, str) else value


class Templates:
    """Renders pages, or the live part of a page."""

    def __init__(self, folder: Path | None = None, **everywhere: Any) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(str(folder or templates_folder())),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_finalize,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(words.FILTERS)
        self._environment.globals.update(everywhere)
        self._environment.globals["ui"] = self._environment.get_template("pages/_ui.html").module

    def page(self, name: str, values: dict[str, Any]) -> bytes:
        """The whole page ``pages/<name>.html``."""
        return _encoded(self._environment.get_template(f"pages/{name}.html").render(values))

    def part(self, name: str, values: dict[str, Any]) -> bytes:
        """Only the block ``live`` of a page: what its script fetches every few seconds.

        A page without one is given whole.
        """
        template = self._environment.get_template(f"pages/{name}.html")
        block = template.blocks.get("live")
        if block is None:
            return self.page(name, values)
        return _encoded("".join(block(template.new_context(values))))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
