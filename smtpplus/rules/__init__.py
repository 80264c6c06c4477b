"""Decisions, as pure functions: what is known comes in, what is to be done goes out."""
