"""How long campaigns are, and what they leave: build/faults/<campaign>.json."""

import json
import os
from pathlib import Path
from typing import TypeVar

BUILD = Path(__file__).parents[2] / "build" / "faults"
FULL = "TUNEGATE_FULL_CAMPAIGN"
Length = TypeVar("Length", int, float)


def rounds(short: Length, full: Length) -> Length:
    """The length of a campaign, as `--full-campaign` wants it."""
    return full if os.environ.get(FULL) else short


def write(
    campaign: str, tried: int, violations: list[str], *, planted_bug_caught: bool, **more: object
) -> None:
    """`planted_bug_caught`: the checker of this campaign was shown a broken product and saw it."""
    BUILD.mkdir(parents=True, exist_ok=True)
    figures = {
        "tried": tried,
        "violations": len(violations),
        "planted_bug_caught": planted_bug_caught,
        "examples": violations[:10],
        "full": bool(os.environ.get(FULL)),
    }
    content = json.dumps(figures | more, indent=2) + "\n"
    (BUILD / f"{campaign}.json").write_text(content)
