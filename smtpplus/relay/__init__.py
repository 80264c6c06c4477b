"""The role that delivers."""
