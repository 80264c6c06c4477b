"""What is kept on disk: the queue, accounts, events; every thread that touches it."""
