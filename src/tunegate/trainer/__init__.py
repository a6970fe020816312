"""The program inside the container: torch, only here."""
