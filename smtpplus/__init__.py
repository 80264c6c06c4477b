"""smtpplus: a self-hosted SMTP+ service. ``docs/flow.md`` tells a message's way through it."""

__all__ = ["__version__"]

__version__ = "0.1.0"
