"""No packet to a denied network, whatever an address looks like; and packets are seen when the guard is off."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from faults.egress.channels import CHANNELS
from faults.egress.corpus import corpus
from faults.egress.namespace import run_inside, why_not
from faults.report import rounds, write

pytestmark = pytest.mark.slow
CORPUS = corpus()
COUNT = rounds(32, len(CORPUS))
PLANTED = 24
AT_A_TIME = 4
GIVEN = {
    "webhook": {"push", "redirect"},
    "status stream": {"stream"},
    "data source": {"GET object", "redirect"},
    "weights": {"GET object", "redirect"},
    "s3 endpoint": {"HEAD object", "GET object"},
    "sts endpoint": {"role", "HEAD object", "GET object"},
}
"""What a channel must have been given at the least, so that more than its first request was tried; names, all of them."""
TIMEOUT_S = rounds(120, 3600)


def test_the_corpus_is_large_and_varied() -> None:
    assert len({attack.url() for attack in CORPUS}) >= 2000
    assert len({attack.kind for attack in CORPUS}) >= 60


def run(channel: str, count: int, guard: str) -> dict[str, Any]:
    output = run_inside("faults.egress.inside", channel, str(count), guard, timeout_s=TIMEOUT_S)
    return json.loads(output)


def test_no_packet_leaves_for_a_denied_network() -> None:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        guarded = dict(
            zip(CHANNELS, pool.map(lambda c: run(c, COUNT, "on"), CHANNELS), strict=True)
        )
        open_ = dict(
            zip(CHANNELS, pool.map(lambda c: run(c, PLANTED, "off"), CHANNELS), strict=True)
        )
    violations = [f"{name}: {stray}" for name, one in guarded.items() for stray in one["strays"]]
    blind = [name for name, one in open_.items() if not one["strays"]]
    stuck = [
        f"{name}: {missing}"
        for name, one in guarded.items()
        if (missing := ({"name"} | GIVEN.get(name, set())) - set(one["given"]))
    ]
    write(
        "ssrf",
        sum(one["tried"] for one in guarded.values()),
        violations,
        planted_bug_caught=not blind,
        urls=COUNT,
        ends={name: one["ends"] for name, one in guarded.items()},
        given={name: one["given"] for name, one in guarded.items()},
        strays_without_guard={name: len(one["strays"]) for name, one in open_.items()},
    )
    assert violations == []
    assert blind == []
    assert stuck == []
