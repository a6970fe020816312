"""Values of the learning rate."""

from typing import get_args

import pytest

from tunegate.contract.request import LrScheduler
from tunegate.contract.training import TuningPlan
from tunegate.trainer.schedule import learning_rate, warm_up_steps


def rates(scheduler: LrScheduler, warmup_ratio: float, steps: int = 10) -> list[float]:
    tuning = TuningPlan(learning_rate=1.0, lr_scheduler=scheduler, warmup_ratio=warmup_ratio)
    return [learning_rate(tuning, step, steps) for step in range(steps)]


def test_linear_without_warm_up() -> None:
    assert rates("linear", 0.0) == pytest.approx([1 - step / 10 for step in range(10)])


def test_warm_up_grows_evenly_to_the_full_rate() -> None:
    assert rates("constant_with_warmup", 0.4)[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_cosine_passes_its_half_in_the_middle() -> None:
    found = rates("cosine", 0.0)
    assert found[0] == 1.0
    assert found[5] == pytest.approx(0.5)
    assert found == sorted(found, reverse=True)


def test_wsd_warms_up_stays_and_decays_in_the_last_tenth() -> None:
    found = rates("wsd", 0.1, 40)
    assert found[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert found[4:36] == [1.0] * 32
    assert found[36:] == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_constant_knows_no_warm_up() -> None:
    assert rates("constant", 0.5) == [1.0] * 10


@pytest.mark.parametrize("scheduler", get_args(LrScheduler))
@pytest.mark.parametrize("ratio", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_no_step_is_wasted_and_none_goes_beyond(
    scheduler: LrScheduler, ratio: float, steps: int
) -> None:
    assert all(0 < rate <= 1 for rate in rates(scheduler, ratio, steps))


def test_warm_up_steps_round_up() -> None:
    assert warm_up_steps(TuningPlan(warmup_ratio=0.1), 11) == 2
