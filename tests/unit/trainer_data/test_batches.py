"""The batch plan: every example once per epoch, bounded and deterministic, and packing that keeps examples apart."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.contract.training import TuningPlan
from tunegate.trainer.data import TokenStore, batch_plan, eval_batches
from tunegate.trainer.data.packing import first_fit_decreasing, pack
from tunegate.trainer.data.split import hold_out
from tunegate.trainer.data.tokens import ROW

LENGTHS = st.lists(st.integers(2, 40), min_size=1, max_size=60)


def make_store(
    lengths: list[int], weights: tuple[float, ...] = (1.0,), sources: list[int] | None = None
) -> TokenStore:
    """Example i holds the tokens 100·i, 100·i+1, …; the second half of each counts."""
    rows = np.zeros(len(lengths), ROW)
    rows["length"] = lengths
    rows["start"] = np.cumsum(lengths) - lengths
    rows["targets"] = [length - max(1, length // 2) for length in lengths]
    rows["line"] = np.arange(len(lengths)) + 1
    rows["source"] = sources or 0
    place = np.concatenate([np.arange(length) for length in lengths])
    ids = np.repeat(100 * np.arange(len(lengths)), lengths) + place
    mask = place >= np.repeat(np.maximum(1, np.array(lengths) // 2), lengths)
    return TokenStore(ids.astype(np.int32), mask, rows, ("a.jsonl",), weights)


def plan_of(
    batch: int = 8,
    *,
    packing: bool = True,
    seed: int = 1,
    micro: int | None = None,
    length: int = 40,
    epochs: float = 1.0,
    steps: int | None = None,
) -> TuningPlan:
    return TuningPlan(
        batch_size=batch, packing=packing, seed=seed, micro_batch_size=micro,
        max_sequence_length=length, num_epochs=epochs, max_steps=steps,
    )  # fmt: skip


@given(LENGTHS, st.integers(1, 9), st.booleans(), st.integers(0, 2**32 - 1))
def test_every_example_once_per_epoch_within_the_budget(
    lengths: list[int], batch: int, packing: bool, seed: int
) -> None:
    store = make_store(lengths)
    tuning = plan_of(batch, packing=packing, seed=seed, micro=2, epochs=2)
    plan = batch_plan(store, tuning)
    assert plan.steps_per_epoch == -(-len(lengths) // batch)
    assert plan.total_steps == 2 * plan.steps_per_epoch
    for epoch in range(2):
        steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
        batches = [plan.micro_batches(step) for step in steps]
        seen = [int(e) for step in batches for micro in step for e in micro.example_ids]
        assert sorted(seen) == list(range(len(lengths)))
        assert all(sum(len(m.example_ids) for m in step) == batch for step in batches[:-1])
        assert all(micro.num_tokens <= 80 for step in batches for micro in step)
        assert packing or all(len(micro.example_ids) == 1 for step in batches for micro in step)


@given(LENGTHS, st.integers(1, 9))
def test_a_step_is_a_function_of_seed_and_step(lengths: list[int], batch: int) -> None:
    store = make_store(lengths)
    tuning = plan_of(batch, epochs=3)
    forward = batch_plan(store, tuning)
    order = [forward.examples(step).tolist() for step in range(forward.total_steps)]
    resumed = batch_plan(store, tuning)
    for step in reversed(range(resumed.total_steps)):
        assert resumed.examples(step).tolist() == order[step]
        ids = [m.input_ids.tolist() for m in forward.micro_batches(step)]
        assert ids == [m.input_ids.tolist() for m in resumed.micro_batches(step)]


def test_epochs_and_seeds_differ() -> None:
    store = make_store([5] * 50)
    plan = batch_plan(store, plan_of(50, epochs=2))
    other = batch_plan(store, plan_of(50, epochs=2, seed=2))
    orders = [plan.examples(0).tolist(), plan.examples(1).tolist(), other.examples(0).tolist()]
    assert orders[0] != orders[1] != orders[2] != orders[0]


@pytest.mark.parametrize(
    ("epochs", "steps", "total"), [(1.0, None, 4), (2.5, None, 10), (0.1, None, 1), (1.1, None, 5), (3.0, 2, 2), (0.5, 9, 9)]
)  # fmt: skip
def test_total_steps(epochs: float, steps: int | None, total: int) -> None:
    plan = batch_plan(make_store([5] * 30), plan_of(8, epochs=epochs, steps=steps))
    assert plan.total_steps == total
    assert plan.epochs_at(4) == 1.0
    assert len(plan.examples(3)) == 6


@pytest.mark.parametrize(
    ("micro", "length", "budget"),
    [(None, 4096, 4096), (None, 128, 2048), (2, 4096, 8192), (1, 128, 128)],
)
def test_micro_tokens(micro: int | None, length: int, budget: int) -> None:
    assert batch_plan(make_store([5]), plan_of(micro=micro, length=length)).micro_tokens == budget


def test_weights_say_how_often_rows_are_seen() -> None:
    store = make_store([5] * 30, weights=(1.0, 2.0, 0.5), sources=[0] * 10 + [1] * 10 + [2] * 10)
    plan = batch_plan(store, plan_of(35, epochs=20))
    assert plan.steps_per_epoch == 1
    counts = [np.bincount(plan.examples(step), minlength=30) for step in range(20)]
    for count in counts:
        assert count[:10].tolist() == [1] * 10
        assert count[10:20].tolist() == [2] * 10
        assert count[20:].sum() == 5
        assert count[20:].max() == 1
    assert sum(counts)[20:].min() > 0  # every epoch draws anew


def test_a_tiny_weight_still_shows_something() -> None:
    plan = batch_plan(make_store([5] * 3, weights=(0.01,)), plan_of())
    assert len(plan.examples(0)) == 1


def test_a_packed_batch_by_hand() -> None:
    store = make_store([3, 2, 4])
    batch = pack(store, [2, 0])
    assert batch.input_ids.tolist() == [[200, 201, 202, 203, 0, 1, 2]]
    assert batch.labels.tolist() == [[-100, -100, 202, 203, -100, 1, 2]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 0, 1, 2]]
    assert batch.cu_seqlens.tolist() == [0, 4, 7]
    assert batch.example_ids.tolist() == [2, 0]
    assert (batch.num_targets, batch.num_tokens, batch.max_length) == (4, 7, 4)
    assert {batch.input_ids.dtype, batch.labels.dtype, batch.position_ids.dtype} == {
        np.dtype("int64")
    }
    assert batch.cu_seqlens.dtype == np.int32


@given(LENGTHS)
def test_the_first_token_of_an_example_is_never_a_label(lengths: list[int]) -> None:
    store = make_store(lengths)
    for micro in batch_plan(store, plan_of(64)).micro_batches(0):
        assert (micro.labels[0, micro.cu_seqlens[:-1]] == -100).all()
        assert micro.num_targets == (micro.labels != -100).sum()


@given(st.lists(st.integers(1, 50), max_size=50), st.integers(1, 60))
def test_first_fit_decreasing(lengths: list[int], capacity: int) -> None:
    bins = first_fit_decreasing(np.array(lengths, np.int64), capacity)
    assert sorted(position for group in bins for position in group) == list(range(len(lengths)))
    for group in bins:
        assert len(group) == 1 or sum(lengths[position] for position in group) <= capacity
    loads = [sum(lengths[position] for position in group) for group in bins]
    assert all(a + b > capacity for a, b in pairwise(loads))


def test_packing_saves_forward_passes() -> None:
    store = make_store([10] * 32)
    assert len(batch_plan(store, plan_of(32, micro=2)).micro_batches(0)) == 4
    assert len(batch_plan(store, plan_of(32, micro=2, packing=False)).micro_batches(0)) == 32


def test_evaluation_sees_everything_once_in_order_of_nothing_random() -> None:
    store, plan = make_store([7] * 600), batch_plan(make_store([5]), plan_of(micro=1))
    batches = list(eval_batches(store, plan))
    assert sorted(int(e) for b in batches for e in b.example_ids) == list(range(600))
    assert max(b.num_tokens for b in batches) <= 40
    again = list(eval_batches(store, plan))
    assert [b.input_ids.tolist() for b in batches] == [b.input_ids.tolist() for b in again]


def test_take_and_where() -> None:
    store = make_store([2, 3, 4])
    part = store.take(np.array([2, 0]))
    assert len(part) == 2
    assert part.read(np.arange(2))[0].tolist() == [200, 201, 202, 203, 0, 1]
    assert part.ids is store.ids
    assert part.where(0) == "a.jsonl:3"
    assert part.supervised_tokens == 3
    assert len(store.take(np.array([], np.int64))) == 0


@pytest.mark.parametrize(
    ("rows", "fraction", "held"),
    [(9, 0.5, 0), (10, 0.05, 1), (100, 0.05, 5), (100, 0.0, 0), (30_000, 0.1, 1000)],
)
def test_hold_out(rows: int, fraction: float, held: int) -> None:
    train, evaluation = hold_out(make_store([2] * rows), fraction, seed=3)
    assert (len(train), len(evaluation)) == (rows - held, held)
    assert sorted([*train.line.tolist(), *evaluation.line.tolist()]) == list(range(1, rows + 1))
    again = hold_out(make_store([2] * rows), fraction, seed=3)[1]
    assert again.line.tolist() == evaluation.line.tolist()
