"""What deploy/observability asks for exists: every series, every label, every code; the rules pass their own tests."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.door import count_jobs
from tunegate.control.records import JobState
from tunegate.http.meters import Meters
from tunegate.http.pressure import Pressure
from tunegate.observe.metrics import ControlMetrics
from tunegate.sdk.errors import CATALOGUE

FOLDER = Path(__file__).parents[3] / "deploy" / "observability"
SERIES = re.compile(r"\btunegate_[a-z_]+")
NOT_SERIES = {"tunegate_token"}


def exposed() -> dict[str, set[str]]:
    """Every sample's name that a gateway can show, with its labels."""
    meters = Meters(count_jobs)
    meters.watch(Pressure(1, 1))
    found: dict[str, set[str]] = {}
    for registry in (meters.registry, ControlMetrics()._own):
        for collector in set(registry._collector_to_names):
            labels = set(getattr(collector, "_labelnames", ()))
            for name in registry._collector_to_names[collector]:
                extra = {"le"} if name.endswith("_bucket") else set()
                found[name] = labels | extra
    return found


def expressions() -> list[str]:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    targets = [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", [])]
    rules = re.findall(r"^\s+expr: (.*)$", (FOLDER / "alerts.yml").read_text(), re.MULTILINE)
    assert len(targets) > 20
    assert len(rules) > 10
    return [*targets, *rules]


@pytest.mark.parametrize("expression", expressions())
def test_every_series_that_is_asked_for_exists(expression: str) -> None:
    there = exposed()
    named = set(SERIES.findall(expression)) - NOT_SERIES
    assert named or expression.startswith("up{")
    for name in named:
        assert name in there
        for filters in re.findall(rf"{name}{{([^}}]*)}}", expression):
            assert set(re.findall(r"([a-z_]+)\s*[=!]", filters)) <= there[name]
    grouped = {
        label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")
    }  # fmt: skip
    assert not named or grouped <= set().union(*(there[name] for name in named))


def test_texts_name_series_that_exist() -> None:
    for name in set(SERIES.findall((FOLDER / "alerts.yml").read_text())):
        assert name in exposed()


def test_every_series_of_ours_is_on_the_dashboard() -> None:
    shown = (FOLDER / "dashboard.json").read_text()
    for name in exposed():
        base = re.sub(r"_(bucket|count|sum|created|total|info)$", "", name)
        assert base in shown, "a number that nobody looks at"


def test_codes_in_rules_are_in_the_catalogue() -> None:
    for codes in re.findall(r'code=~"([^"]+)"', (FOLDER / "alerts.yml").read_text()):
        assert set(codes.split("|")) <= set(CATALOGUE)


def test_labels_are_few_and_never_a_job_or_a_caller() -> None:
    allowed = {
        "call",
        "code",
        "launcher",
        "le",
        "method",
        "operation",
        "outcome",
        "route",
        "state",
        "status",
        "what",
    }
    assert set().union(*exposed().values()) <= allowed
    assert len(JobState) < 20


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with prometheus")
@pytest.mark.parametrize(
    "arguments", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")]
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        ("promtool", *arguments), cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
