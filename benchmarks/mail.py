"""The mail that a shop sends: HTML and text, 10 KB, ten links; and what its list puts into it."""

from __future__ import annotations

import quopri

__all__ = ["EVERYTHING", "LINKS", "order_mail"]

LINKS = 10
EVERYTHING = {
    "footer": True,
    "footer_html": '<div style="color:#888888;font:12px/18px Arial,sans-serif">Shop Ltd, Street 1,'
    ' Town. <a href="https://shop.example/imprint">Imprint</a>'
    ' <a href="[unsubscribe]">Unsubscribe</a></div>',
    "footer_text": "Shop Ltd, Street 1, Town\nUnsubscribe: [unsubscribe]",
    "track_opens": True,
    "track_clicks": True,
    "unsubscribe": True,
}
_TD = "padding:8px 0;font:16px/24px Arial,sans-serif;color:#333333"
_ROW = """<tr><td style="{td}" align="left">Article number {number}, as ordered on Monday</td>
<td style="{td}" align="right"><a href="https://shop.example/articles/{number}?ref=mail&amp;order=\
{order}" style="color:#3869D4;text-decoration:none">Have a look</a></td></tr>
<tr><td colspan="2" style="border-top:1px solid #eaeaec;padding:4px 0"><p style="margin:.4em 0 \
1.1875em;font-size:13px;line-height:1.625">Grüße, the parcel service has it since this morning, \
and it will be at your door in two days, between nine and six; somebody has to be there to take it. If nobody is there \
it waits at the shop around the corner for a week, and then it comes back to us.</p></td></tr>
"""
_PAGE = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>Your order</title>
<style>body{{margin:0;width:100%}} td{{word-break:break-word}} .button{{background:#3869D4}}</style>
</head>
<body style="margin:0;background:#f4f4f7"><table width="100%" cellpadding="0" cellspacing="0">
<tr><td align="center"><table class="content" width="570">
<tr><td><h1 style="color:#333333">Thank you for your order</h1></td></tr>
{rows}</table></td></tr></table></body></html>
"""
_LINE = "Article number {number}: https://shop.example/articles/{number}?ref=mail&order={order}\n"


def order_mail(sender: str, recipient: str, order: int = 4711) -> bytes:
    """The mail about an order, line ends CRLF."""
    rows = (_ROW.format(td=_TD, number=n, order=order) for n in range(LINKS))
    page = _PAGE.format(rows="".join(rows))
    lines = (_LINE.format(number=n, order=order) for n in range(LINKS))
    text = "Thank you for your order\n\n" + "".join(lines)
    head = (
        f"From: Shop <{sender}>\r\nTo: <{recipient}>\r\nSubject: Your order {order}\r\n"
        "Date: Mon, 6 Jul 2026 10:00:00 +0000\r\nMessage-ID: <{order}@load.example>\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="=_order"\r\n\r\n'
    )
    parts = [
        f"--=_order\r\nContent-Type: text/{kind}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n".encode()
        + quopri.encodestring(content.encode()).replace(b"\n", b"\r\n")
        for kind, content in (("plain", text), ("html", page))
    ]
    return head.encode() + b"\r\n".join(parts) + b"\r\n--=_order--\r\n"
