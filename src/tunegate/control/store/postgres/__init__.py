"""The store of several replicas: one PostgreSQL database, reached through psycopg 3."""

from tunegate.control.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
