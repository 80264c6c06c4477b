"""The role that takes mail in from users."""
