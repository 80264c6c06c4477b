"""Alembic's folder: the way from each version of the tables to the next."""
