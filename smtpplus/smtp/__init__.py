"""The SMTP conversation, both sides, without I/O."""
