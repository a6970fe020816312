"""docs/CAMPAIGNS.md and the campaigns hold together; `make faults` prints the table's rows."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_campaign_has_its_row() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/CAMPAIGNS.md").read_text(), re.MULTILINE)
    faults = ROOT / "tests/faults"
    assert rows == sorted(str(path.relative_to(faults)) for path in faults.rglob("test_*.py"))
