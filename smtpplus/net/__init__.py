"""Sockets, TLS, DNS, timers, threads: the one place where bytes meet the machine."""
