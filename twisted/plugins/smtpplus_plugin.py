"""Makes ``twistd smtpplus`` known."""

from twisted.application.service import ServiceMaker

__all__ = ["smtpplus"]

smtpplus = ServiceMaker(  # type: ignore[no-untyped-call]
    "smtpplus",
    "smtpplus.tap",
    "Self-hosted SMTP+ service: signs, tracks, delivers and counts transactional mail.",
    "smtpplus",
)
