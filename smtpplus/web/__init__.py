"""The role people see in a browser."""
