"""The JSON of slurmrestd, old and new, and when a token is replaced."""

import base64
import json
from pathlib import Path

import msgspec
import pytest

from golden.launcher_cases import golden_run
from tunegate.launchers.slurm.request import JobRequest, job_request
from tunegate.launchers.slurm.rest_shapes import Listed, choose_version, encode, job_of
from tunegate.launchers.slurm.settings import SlurmSettings
from tunegate.launchers.slurm.token import EARLY_S, fresh_until_s
from tunegate.sdk.launcher import EngineUnavailable, LaunchRefused

SETTINGS = SlurmSettings(shared_dir="/shared")


def a_request() -> JobRequest:
    return job_request(golden_run("lora", "2nodes"), SETTINGS, Path("/shared/run"))


def document(*versions: int) -> dict[str, object]:
    return {"paths": {f"/slurm/v0.0.{version}/job/submit": {} for version in versions}}


def test_the_newest_version_that_both_know() -> None:
    assert choose_version(document(36, 38)) == 38
    assert choose_version(document(40, 41, 42)) == 42
    assert choose_version(document(99)) == 99
    with pytest.raises(EngineUnavailable):
        choose_version(document(36))


def test_a_job_for_22_05() -> None:
    job = encode(a_request(), 38)["job"]
    assert (job["nodes"], job["time_limit"], job["gres"]) == ([2, 2], 603, "gpu:8")
    assert job["environment"]["LANG"] == "C.UTF-8"
    assert job["signal"] == "TERM@120"
    assert job["requeue"] is False


def test_a_job_for_23_and_later() -> None:
    job = encode(a_request(), 41)["job"]
    assert job["time_limit"] == {"set": True, "infinite": False, "number": 603}
    assert job["tres_per_node"] == "gres/gpu:8"
    assert "LANG=C.UTF-8" in job["environment"]
    assert (job["kill_warning_signal"], job["kill_warning_flags"]) == ("TERM", ["BATCH_JOB"])


def test_what_22_05_can_not_do_is_said() -> None:
    excluding = msgspec.structs.replace(a_request(), exclude="n1")
    with pytest.raises(LaunchRefused, match="constraint"):
        encode(excluding, 38)
    assert encode(excluding, 41)["job"]["excluded_nodes"] == ["n1"]


@pytest.mark.parametrize(
    "written",
    [
        {"job_state": "FAILED", "exit_code": 768, "submit_time": 1700},
        {
            "job_state": ["FAILED"],
            "exit_code": {"status": ["ERROR"], "return_code": {"set": True, "number": 3}},
            "submit_time": {"set": True, "infinite": False, "number": 1700},
        },
    ],
    ids=["22.05", "24.11"],
)
def test_a_job_that_is_listed(written: dict[str, object]) -> None:
    body = json.dumps({"job_id": 7, "name": "ft-x-1", "user_name": "me"} | written)
    job = job_of(msgspec.json.decode(body, type=Listed))
    assert (job.states, job.exit_code, job.signal, job.submitted_s) == (("FAILED",), 3, None, 1700)


def test_a_job_that_a_signal_ended() -> None:
    old = job_of(Listed(job_id=7, job_state="FAILED", exit_code=9))
    new = job_of(
        Listed(
            job_id=7, job_state=["FAILED"], exit_code={"signal": {"id": {"set": True, "number": 9}}}
        )
    )
    assert (old.signal, new.signal) == (9, 9)


def test_tokens_are_replaced_before_they_end() -> None:
    def token(expires_s: int) -> str:
        claims = (
            base64.urlsafe_b64encode(json.dumps({"exp": expires_s}).encode()).decode().rstrip("=")
        )
        return f"head.{claims}.tail"

    assert fresh_until_s(token(5000), 1000) == 5000 - EARLY_S
    assert fresh_until_s(token(1100), 1000) == 1050
    assert fresh_until_s("head.nonsense.tail", 1000) > 1000
