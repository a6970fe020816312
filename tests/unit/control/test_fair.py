from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tunegate.control.fair import Holding, Waiting, choose


def queue(tenant: str, *gpus: int, limit: int | None = None, since: int = 0) -> list[Waiting]:
    return [
        Waiting(f"{tenant}{index}", count, limit, (since + index, index))
        for index, count in enumerate(gpus)
    ]


def test_a_flood_of_one_tenant_keeps_no_other_waiting() -> None:
    queues = {"flood": queue("f", *[1] * 100), "late": queue("l", 1, since=1000)}
    assert choose({}, queues, 2) == ["f0", "l0"]


def test_who_holds_less_is_next() -> None:
    queues = {"a": queue("a", 1, 1, 1), "b": queue("b", 1, 1, 1)}
    assert choose({"a": Holding(2, 1)}, queues, 5) == ["b0", "b1", "a0", "b2", "a1"]


def test_jobs_without_gpus_take_turns_too() -> None:
    queues = {"a": queue("a", 0, 0, 0), "b": queue("b", 0, 0, 0, since=10)}
    assert choose({}, queues, 4) == ["a0", "b0", "a1", "b1"]


def test_the_oldest_of_a_tenant_comes_first() -> None:
    assert choose({}, {"a": queue("a", 8, 1, 1)}, 3) == ["a0", "a1", "a2"]


def test_a_limit_holds_back_a_tenant_and_nobody_else() -> None:
    queues = {"a": queue("a", 4, 1, limit=4), "b": queue("b", 4)}
    assert choose({"a": Holding(2, 1)}, queues, 9) == ["b0"]
    assert choose({}, queues, 9) == ["a0", "b0"]


def test_jobs_without_gpus_pass_any_limit() -> None:
    assert choose({"a": Holding(4, 1)}, {"a": queue("a", 0, limit=4)}, 1) == ["a0"]


@given(
    queues=st.dictionaries(
        st.sampled_from("abcde"), st.lists(st.integers(0, 8), max_size=6), max_size=5
    ),
    room=st.integers(0, 20),
)
def test_all_room_is_used_in_each_tenants_order(
    queues: dict[str, Sequence[int]], room: int
) -> None:
    waiting = {tenant: queue(tenant, *gpus) for tenant, gpus in queues.items()}
    chosen = choose({}, waiting, room)
    assert len(chosen) == len(set(chosen)) == min(room, sum(map(len, queues.values())))
    for tenant, jobs in waiting.items():
        mine = [uid for uid in chosen if uid.startswith(tenant)]
        assert mine == [job.uid for job in jobs][: len(mine)]


@given(
    queues=st.dictionaries(
        st.sampled_from("abcde"), st.lists(st.just(1), min_size=4, max_size=9), min_size=2
    ),
    room=st.integers(1, 8),
)
def test_shares_of_equals_differ_by_one_at_most(queues: dict[str, list[int]], room: int) -> None:
    chosen = choose({}, {tenant: queue(tenant, *gpus) for tenant, gpus in queues.items()}, room)
    counts = [sum(uid.startswith(tenant) for uid in chosen) for tenant in queues]
    assert max(counts) - min(counts) <= 1
