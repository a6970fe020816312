"""One folder or file per engine."""
