"""How long a lost attempt's successor waits."""

from support.job_samples import attempt, job
from tunegate.control.pacing import (
    RECOVERY_DELAY_MAX_S,
    RECOVERY_DELAY_S,
    RECOVERY_SPREAD,
    recovery_delay_s,
)


def test_waits_double_up_to_a_bound() -> None:
    for number in range(1, 40):
        least_s = min(RECOVERY_DELAY_S * 2.0 ** (number - 1), RECOVERY_DELAY_MAX_S)
        delay_s = recovery_delay_s(attempt(job(), number))
        assert least_s <= delay_s <= least_s * (1 + RECOVERY_SPREAD)


def test_runs_that_were_lost_together_come_back_apart() -> None:
    delays_s = sorted(recovery_delay_s(attempt(job(f"job-{n}"))) for n in range(200))
    assert len(set(delays_s)) > 190
    assert delays_s[-1] - delays_s[0] > 0.8 * RECOVERY_SPREAD * RECOVERY_DELAY_S


def test_a_restarted_gateway_waits_as_long() -> None:
    assert recovery_delay_s(attempt(job())) == recovery_delay_s(attempt(job()))
