"""`python -m tunegate.docs`: write all documents below the current folder, which must be the repository's root."""

from pathlib import Path

from tunegate.docs.pages import render_all

for name, text in render_all(Path.cwd()).items():
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
