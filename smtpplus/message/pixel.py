"""The pixel that tells of an open.

It takes no room in the page: one pixel high, with a margin that takes it back. No ``alt`` text.
"""

from __future__ import annotations

from smtpplus.message.copy_plan import CopyUrl
from smtpplus.message.edits import Fill, UrlFill

__all__ = ["pixel"]

_BEFORE = '<img src="'
_AFTER = (
    '" width="1" height="1" alt="" border="0"'
    ' style="display:block;width:1px;height:1px;margin:-1px 0 0;border:0">'
)


def pixel(open_url: CopyUrl) -> tuple[str | Fill, ...]:
    """The pieces of its element."""
    return (_BEFORE, UrlFill(open_url, in_html=True), _AFTER)
