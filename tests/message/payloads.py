"""Texts that try to become header fields, log lines or lines of a report."""

from __future__ import annotations

__all__ = ["INJECTIONS"]

_ENDS = [
    "\r\n",
    "\n",
    "\r",
    "\r\n ",
    "\n\t",
    "\0",
    "\u2028",
    "\u2029",
    "\x85",
    "\x0b",
    "\x0c",
    "\r\n\r\n",
]
_TAILS = [
    "Bcc: x@evil.example",
    "From: x@evil.example",
    "2026-11-10 FAKE",
    ".\r\nMAIL FROM:<x@evil.example>",
    ">\r\nSubject: x",
]

INJECTIONS = [
    *(f"a{end}{tail}" for end in _ENDS for tail in _TAILS),
    *(f"{end}{tail}" for end in _ENDS for tail in _TAILS),
    "=?utf-8?q?=0aBcc:x@evil.example?=",
    "=?utf-8?q?=0d=0aBcc:_x?=",
    "=?utf-8?b?CkJjYzogeA==?=",
    "\x1b[31mred",
    "\u202eexe.txt",
    "a" * 10_000,
    "ä" * 3_000,
    "\ud800",
    "<script>alert(1)</script>",
    ") (",
    ";;;",
    "",
    " ",
]
