"""The door: Litestar, only here."""
