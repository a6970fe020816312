from itertools import product

import pytest

from tunegate.control.records import FINAL, JobState
from tunegate.control.states import ALLOWED, PROGRESSION, IllegalTransition, check, furthest

LEGAL = """
queued      -> launching failed cancelled
launching   -> pending starting running uploading stopping failed
pending     -> starting running uploading recovering stopping failed
starting    -> running uploading recovering stopping failed
running     -> uploading recovering stopping succeeded failed
uploading   -> recovering stopping succeeded failed
recovering  -> launching failed cancelled
stopping    -> succeeded failed cancelled
succeeded   ->
failed      ->
cancelled   ->
"""


def _table() -> dict[str, set[str]]:
    rows = (line.split("->") for line in LEGAL.strip().splitlines())
    return {before.strip(): set(after.split()) for before, after in rows}


@pytest.mark.parametrize(("before", "after"), list(product(JobState, JobState)))
def test_every_pair_is_allowed_or_refused_as_the_table_says(
    before: JobState, after: JobState
) -> None:
    if after.value in _table()[before.value]:
        check(before, after)
    else:
        with pytest.raises(IllegalTransition):
            check(before, after)


def test_every_state_has_a_row() -> None:
    assert set(ALLOWED) == set(JobState)


def test_final_states_absorb() -> None:
    assert all(not ALLOWED[state] for state in FINAL)


@pytest.mark.parametrize(("one", "other"), list(product(PROGRESSION, PROGRESSION)))
def test_an_attempt_never_goes_back(one: JobState, other: JobState) -> None:
    reached = furthest(one, other)
    assert PROGRESSION.index(reached) >= PROGRESSION.index(one)
    assert reached in (one, other)
