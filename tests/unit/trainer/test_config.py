"""What a run is given, with a gateway and without."""

from pathlib import Path

import msgspec
import pytest

from support.trainer_bench import Bench
from tunegate.contract.training import AttemptTicket, TrainingSpec
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.config import read_launch


def lay_out(folder: Path, spec: TrainingSpec) -> Path:
    (folder / "job.json").write_bytes(msgspec.json.encode(spec))
    return folder / "job.json"


def test_alone_all_folders_are_the_users_own(bench: Bench, tmp_path: Path) -> None:
    job = lay_out(tmp_path, bench.spec("j", storage={}))
    launch = read_launch(job, None, None)
    assert launch.ticket is None
    assert launch.spec.storage.file_roots == ["/"]
    assert launch.work_dir == tmp_path / "work"
    assert launch.work_dir.stat().st_mode & 0o077 == 0


def test_alone_secrets_come_from_a_file_or_the_environment(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = lay_out(tmp_path, bench.spec("j"))
    monkeypatch.setenv("HF_TOKEN", "from-environment")
    token = read_launch(job, None, None).secrets.hub_token
    assert token is not None
    assert token.reveal() == "from-environment"
    (tmp_path / "secrets.json").write_text('{"hub_token": "from-file"}')
    token = read_launch(job, tmp_path / "secrets.json", None).secrets.hub_token
    assert token is not None
    assert token.reveal() == "from-file"


def test_with_a_ticket_the_token_is_read_and_nothing_else_is_taken(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "of-the-machine")
    job = lay_out(tmp_path, bench.spec("j", storage={}))
    ticket = AttemptTicket(
        job_id="j", attempt=1, attempt_id="a", run_name="r", gateway_url="http://x", token_file="t"
    )
    (tmp_path / "attempt.json").write_bytes(msgspec.json.encode(ticket))
    with pytest.raises(TunegateError, match="token file") as caught:
        read_launch(job, None, None)
    assert caught.value.code == "config_invalid"
    (tmp_path / "t").write_text("claim-token\n")
    launch = read_launch(job, None, None)
    assert launch.token is not None
    assert launch.token.reveal() == "claim-token"
    assert launch.secrets.hub_token is None
    assert launch.spec.storage.file_roots == []


@pytest.mark.parametrize("content", ["{", '{"job_id": "x"}', '{"unknown": 1}'])
def test_a_job_that_can_not_be_decoded(tmp_path: Path, content: str) -> None:
    (tmp_path / "job.json").write_text(content)
    with pytest.raises(TunegateError, match="job file") as caught:
        read_launch(tmp_path / "job.json", None, None)
    assert caught.value.code == "config_invalid"
