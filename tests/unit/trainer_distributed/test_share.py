"""Every example of a batch goes to exactly one process, and tokens are spread evenly."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tunegate.trainer.data.share import Positions, Share, divide

LENGTHS = st.lists(st.integers(1, 500), max_size=60).map(lambda all_: np.array(all_, np.int64))
WORLDS = st.integers(2, 9)


def one_by_one(part: Positions) -> list[Positions]:
    return list(part[:, None])


@given(LENGTHS, WORLDS)
def test_each_example_once(lengths: Positions, world: int) -> None:
    parts = divide(lengths, world)
    assert len(parts) == world
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(lengths)))


@given(LENGTHS, WORLDS)
def test_nobody_has_much_more_than_another(lengths: Positions, world: int) -> None:
    tokens = [int(lengths[part].sum()) for part in divide(lengths, world)]
    assert max(tokens) - min(tokens) <= max(lengths.tolist(), default=0)


@given(LENGTHS, WORLDS)
def test_even_shares_make_the_same_number_of_passes(lengths: Positions, world: int) -> None:
    shares = [Share(rank, world, even=True).of(lengths, one_by_one) for rank in range(world)]
    assert len({len(own) + idle for own, idle in shares}) == 1
    assert min(idle for _, idle in shares) == 0


@given(LENGTHS)
def test_one_process_has_all_in_the_old_order(lengths: Positions) -> None:
    own, idle = Share().of(lengths, one_by_one)
    assert [int(position[0]) for position in own] == list(range(len(lengths)))
    assert idle == 0


def test_without_a_need_nobody_is_idle() -> None:
    assert Share(1, 2).of(np.array([5]), one_by_one) == ([], 0)
