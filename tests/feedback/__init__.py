"""Mail to the bounce domain."""
