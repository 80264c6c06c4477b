"""Style sheet, script and icons: read once, addressed by their content.

Guarantees: a file is served from memory, by its exact name only, so no path leads out of the
folder; with its hash in the address (``?v=``) a browser keeps it for a year, without it must ask
again (ETag). Raises `PageError` 404.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from smtpplus.web.exchange import PAGE_CSP, Asked, PageError, Response

__all__ = ["StaticFiles"]

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_YEAR = 365 * 86400


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    content_type: str
    version: str


class StaticFiles:
    """The files of one folder, without sub-folders; other kinds than css, js, svg are left out."""

    def __init__(self, folder: Path, base: str) -> None:
        self._base = base
        self._files = {
            path.name: _read(path) for path in sorted(folder.iterdir()) if path.suffix in _TYPES
        }

    def url(self, name: str) -> str:
        """The address of a file, with its version. Raises KeyError for an unknown name."""
        return f"{self._base}/static/{name}?v={self._files[name].version}"

    def answer(self, name: str, asked: Asked) -> Response:
        """The file, or 304 where the browser has it."""
        file = self._files.get(name)
        if file is None:
            raise PageError(HTTPStatus.NOT_FOUND, "There is no such file.")
        etag = f'"{file.version}"'
        is_current = asked.query.get("v") == file.version
        cache = f"public, max-age={_YEAR}, immutable" if is_current else "public, no-cache"
        known = {tag.strip().removeprefix("W/") for tag in asked.etag.split(",")}
        if etag in known:
            return Response(status=HTTPStatus.NOT_MODIFIED, headers=(("ETag", etag),), cache=cache)
        return Response(
            body=file.content,
            content_type=file.content_type,
            headers=(("ETag", etag),),
            csp=PAGE_CSP,
            cache=cache,
        )


def _read(path: Path) -> _File:
    content = path.read_bytes()
    return _File(content, _TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:16])
