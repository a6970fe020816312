"""Each alert says what to do about it."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]


def test_every_alert_has_its_section() -> None:
    groups = yaml.safe_load((ROOT / "deploy/observability/alerts.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    page = (ROOT / "docs/INSTALL_HELM.md").read_text()
    assert set(re.findall(r"^### (Tunegate\w+)$", page, re.MULTILINE)) == alerts
