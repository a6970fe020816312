"""Which life of the database this is. After a restore from a backup another one begins, and what the engines hold of the
earlier one may be jobs that this database has never heard of.
"""

import secrets

from tunegate.control.store.schema import SchemaDatabase
from tunegate.control.store.sql.statement import Work, ask

_BYTES = 4
_FENCES = 1_000_000


def read() -> Work[str]:
    """Eight hexadecimal digits."""
    [(value,)] = yield from ask("SELECT value FROM meta WHERE name = 'generation'")
    return value


def present(db: SchemaDatabase) -> str | None:
    """From outside a gateway; None where the schema is older."""
    if not db.has_table("meta"):
        return None
    return db.rows("SELECT value FROM meta WHERE name = 'generation'")[0][0]


def renew(db: SchemaDatabase) -> str:
    """Begin another life, after a restore. Gateways must not run meanwhile."""
    value = secrets.token_hex(_BYTES)
    with db.transaction():
        # Fences that were given out after the backup must stay below those of the new life.
        db.run(f"UPDATE counter SET value = value + {_FENCES} WHERE name = 'fence'")  # noqa: S608 - a constant
        db.run(f"UPDATE meta SET value = '{value}' WHERE name = 'generation'")  # noqa: S608 - hexadecimal digits
    return value
