"""Which errors are trouble of the database or the way to it, not of our SQL."""

import psycopg

TROUBLE = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError, OSError)
"""No connection, a lost one, time-outs, deadlocks, a full disk, a server that may only read."""


def has_rolled_back(error: BaseException) -> bool:
    """Whether the server itself said that a transaction failed: then it is certain that nothing of it counts."""
    return (
        isinstance(error, psycopg.Error) and error.sqlstate is not None and not _is_shutdown(error)
    )


def _is_shutdown(error: psycopg.Error) -> bool:
    """Class 57P: the server went away, maybe behind the commit; 08: the connection did."""
    state = error.sqlstate or ""
    return state.startswith(("57P", "08"))
