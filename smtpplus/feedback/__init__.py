"""The role that takes what comes back: mail to unsubscribe."""
