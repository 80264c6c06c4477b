"""The role that plays the world: a trial's built-in mailbox server."""
