"""The pages of docs/ as a site, and the links of README.md."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs")
ROOT = Path(__file__).parents[3]


def build(config: Path, site: Path) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(site)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_every_link_leads_somewhere(tmp_path: Path) -> None:
    built = build(ROOT / "config/mkdocs.yml", tmp_path / "site")
    assert built.returncode == 0, built.stderr
    pages = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")]
    assert len(pages) > 10
    for page in pages:
        folder = page.parent if page.name == "index.md" else page.with_suffix("")
        assert (tmp_path / "site" / folder / "index.html").exists(), page


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("[there](THERE.md) [part](#nowhere)")
    text = (ROOT / "config/mkdocs.yml").read_text().split("\nnav:")[0]
    config = tmp_path / "mkdocs.yml"
    config.write_text(text.replace("../docs", "docs"))
    built = build(config, tmp_path / "site")
    assert built.returncode != 0
    assert "THERE.md" in built.stderr
    assert "nowhere" in built.stderr


def test_the_links_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert len(targets) > 5
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_what_the_readme_says_of_rooms_is_there() -> None:
    text = (ROOT / "README.md").read_text().split("## File map")[1]
    rooms = re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)
    assert len(rooms) > 10
    assert [room for room in rooms if not (ROOT / room).exists()] == []
