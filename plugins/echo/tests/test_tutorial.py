"""docs/PLUGINS.md shows this plugin: the two must stay one."""

import re
from pathlib import Path

HERE = Path(__file__).parents[1]
DOCS = HERE.parents[1] / "docs/PLUGINS.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)


def test_the_docs_show_the_plugin_itself() -> None:
    source = (HERE / "src/tunegate_echo/backend.py").read_text()
    assert source in blocks("python")
    assert sum(bool(line.strip()) for line in source.splitlines()) <= 40


def test_the_docs_show_its_entry_point() -> None:
    pyproject = (HERE / "pyproject.toml").read_text()
    assert any(block in pyproject for block in blocks("toml"))
