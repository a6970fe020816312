"""Brings a database to the newest schema: numbered SQL files, each applied once, in order."""

from importlib import resources

import apsw

from tunegate.control.store.errors import StoreUnsafe

_TABLE = """CREATE TABLE IF NOT EXISTS schema_version (
    version INTEGER PRIMARY KEY, applied_ms INTEGER NOT NULL) STRICT"""


def scripts() -> dict[int, str]:
    """The SQL text of each migration by its number."""
    folder = resources.files("tunegate.control.store.sqlite").joinpath("migrations")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return {int(file.name.split("_")[0]): file.read_text() for file in files}


def migrate(db: apsw.Connection, now_ms: int) -> None:
    """Raises StoreUnsafe when a newer release has written this database."""
    db.execute(_TABLE)
    present = db.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchall()[0][0]
    known = scripts()
    if present > max(known):
        raise StoreUnsafe(
            f"The job store has schema {present}, this release knows {max(known)}: upgrade."
        )
    for version, script in known.items():
        if version > present:
            with db:  # one transaction per migration
                db.execute(script)
                db.execute("INSERT INTO schema_version VALUES (?, ?)", (version, now_ms))
