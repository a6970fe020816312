"""`tunegate` as a user runs it: a process of its own, against a real gateway that runs real jobs."""

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tunegate.sdk.testing.gateway_process import GatewayProcess

pytestmark = pytest.mark.slow
TOKEN = "integration-token"
COMMAND = (sys.executable, "-m", "tunegate.cli")
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    home = tmp_path_factory.mktemp("gateway")
    running = GatewayProcess(home, None, environment={"TRAINER_API_TOKEN": TOKEN})
    with asyncio.Runner() as runner:
        runner.run(running.start())
        yield running
        runner.run(running.stop())


@pytest.fixture
def environment(gateway: GatewayProcess, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TUNEGATE_")}
    return {
        **kept,
        "TUNEGATE_URL": gateway.url,
        "TUNEGATE_TOKEN": TOKEN,
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "TERM": "xterm-256color",
    }


@pytest.fixture
def job_file(gateway: GatewayProcess, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    body = {
        "job_id": re.sub(r"\W+", "-", request.node.name).strip("-")[:48],
        "backend": "echo",
        "base_model": {"provider": "huggingface", "model_name": "a/b"},
        "customization": {"method": "lora"},
        "resources": {"gpus": 0},
        "datasets": [{"source": f"file://{gateway.home}/rows.jsonl", "format": "auto"}],
        "artifacts": {"output_uri": f"file://{gateway.home}/out"},
        "extra_parameters": {"steps": 2},
    }
    file = tmp_path / "job.json"
    file.write_text(json.dumps(body))
    return str(file)


def job_id_of(file: str) -> str:
    return json.loads(Path(file).read_text())["job_id"]


@pytest.fixture
def run(environment: dict[str, str]) -> Any:
    """Runs a command; checks that nothing of the token is printed."""

    def ran(*arguments: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *arguments], env={**environment, **variables}, input=given,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert TOKEN not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return ran


def test_submit_and_watch_to_the_artifacts(run: Any, job_file: str) -> None:
    done = run("submit", job_file, "--watch", "--set", "metadata.team=a")
    assert done.returncode == 0, done.stderr
    assert re.search(r"status +succeeded", done.stdout)
    assert re.search(r"result.json +\d+ B", done.stdout)
    assert "ignored $.base_model: echo trains nothing" in done.stderr
    assert "  100%  step 2/2" in done.stderr  # its phase may be a later one by then
    assert "\x1b" not in done.stdout + done.stderr
    assert run("submit", job_file, "--set", "metadata.team=a").stdout.strip() == job_id_of(job_file)


def test_every_answer_is_json_when_asked(run: Any, job_file: str) -> None:
    job_id = job_id_of(job_file)
    watched = run("submit", "-", "--watch", "--json", given=Path(job_file).read_text())
    assert watched.returncode == 0
    assert watched.stderr == ""
    job = json.loads(watched.stdout)
    assert (job["status"], [file["path"] for file in job["artifacts"]]) == ("succeeded", ["result.json"])  # fmt: skip
    for command, field in (
        (("jobs",), "data"), (("show", job_id), "job_id"), (("metrics", job_id), "data"), (("artifacts", job_id), "data"),
        (("checkpoints", job_id), "data"), (("backends",), "data"), (("launchers",), "data"), (("watch", job_id), "artifacts"),
        (("submit", job_file, "--dry-run"), "container"), (("cancel", job_id), "status"), (("plugins",), "backends"),
    ):  # fmt: skip
        done = run(*command, "--json")
        assert done.returncode == 0, (command, done.stderr)
        assert field in json.loads(done.stdout), command
    lines = run("events", job_id, "--json").stdout.splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    log = [json.loads(line)["text"] for line in run("logs", job_id, "--json").stdout.splitlines()]
    assert "step 2 of 2" in "".join(log)
    assert json.loads(run("delete", job_id, "--json").stdout) == {
        "job_id": job_id,
        "deleted": True,
    }


def test_people_read_tables(run: Any, job_file: str) -> None:
    job_id = job_id_of(job_file)
    run("submit", job_file, "--watch")
    assert re.search(rf"{job_id} +succeeded", run("jobs", "--backend", "echo").stdout)
    assert job_id not in run("jobs", "--status", "failed").stdout
    assert re.search(r"progress +100%, step 2 of 2", run("show", job_id).stdout)
    assert "step 2 of 2" in run("logs", "-f", job_id).stdout
    assert run("events", "-f", job_id).stdout.splitlines()[-1].endswith("Echoed")
    assert run("events", job_id, "--type", "job.status").stdout.count("\n") < 9
    assert run("metrics", job_id, "--name", "loss").stdout.splitlines()[-1].split() == [
        "2",
        "1",
        "0.5",
    ]


def test_what_became_of_a_job_is_the_exit_code(run: Any, job_file: str) -> None:
    failed = run("submit", job_file, "--watch", "--set", "extra_parameters.fail_code=data_invalid")
    assert failed.returncode == 8
    assert "data_invalid" in failed.stdout
    assert f"tunegate logs {job_id_of(job_file)}" in failed.stderr
    again = run("retry", job_id_of(job_file), "--watch")
    assert again.returncode == 8
    slow = ("--set", "job_id=cancelled-1", "--set", "extra_parameters.seconds_per_step=30")
    assert run("submit", job_file, *slow).returncode == 0
    assert run("cancel", "cancelled-1").returncode == 0
    assert run("watch", "cancelled-1").returncode == 9


def test_what_a_gateway_refuses_says_which_field_and_what_to_do(run: Any, job_file: str) -> None:
    refused = run("submit", job_file, "--set", "customization.rank=0", "--set", "datasets[0].format=x")  # fmt: skip
    assert refused.returncode == 3
    assert "$.customization.rank" in refused.stderr
    assert "$.datasets[0].format" in refused.stderr
    as_json = run("submit", job_file, "--set", "customization.rank=0", "--json")
    told = json.loads(as_json.stderr)
    assert (told["exit_code"], told["error"]["errors"][0]["path"]) == (3, "$.customization.rank")
    assert as_json.stdout == ""
    assert run("show", "nobody").returncode == 5
    run("submit", job_file)
    assert run("submit", job_file, "--set", "metadata.other=x").returncode == 6


def test_no_gateway_and_no_token(run: Any) -> None:
    unauthorised = run("jobs", TUNEGATE_TOKEN="wrong")
    assert unauthorised.returncode == 4
    assert "unauthorized" in unauthorised.stderr
    assert "tunegate login" in unauthorised.stderr
    away = run("jobs", "--url", "http://127.0.0.1:9")
    assert away.returncode == 7
    assert "refused" in away.stderr
    assert "tunegate doctor" in away.stderr


def test_login_remembers_and_logout_forgets(
    run: Any, gateway: GatewayProcess, environment: dict[str, str]
) -> None:
    nothing = {"TUNEGATE_URL": "", "TUNEGATE_TOKEN": ""}
    assert run("login", gateway.url, given="wrong\n", **nothing).returncode == 4
    assert run("login", gateway.url, given=f"{TOKEN}\n", **nothing).returncode == 0
    file = Path(environment["XDG_CONFIG_HOME"]) / "tunegate" / "gateway.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert run("jobs", **nothing).returncode == 0
    assert run("logout", **nothing).returncode == 0
    assert not file.exists()


def test_ctrl_c_ends_the_watching_and_not_the_job(
    run: Any, environment: dict[str, str], job_file: str
) -> None:
    slow = ["--set", "extra_parameters.seconds_per_step=60"]
    with subprocess.Popen(
        [*COMMAND, "submit", job_file, "--watch", *slow],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as watching:  # fmt: skip
        assert watching.stderr is not None
        seen = []
        for line in watching.stderr:
            seen.append(line)
            if "Training nothing" in line:
                watching.send_signal(signal.SIGINT)
                break
        rest = watching.stderr.read()
    job_id = job_id_of(job_file)
    assert watching.returncode == 130, (seen, rest)
    assert f"Come back: tunegate watch {job_id}" in rest
    assert f"tunegate cancel {job_id}" in rest
    assert "Traceback" not in rest
    assert json.loads(run("show", job_id, "--json").stdout)["status"] == "running"
    run("cancel", job_id)


@pytest.mark.parametrize("command", ["events", "logs", "jobs"])
def test_a_reader_that_has_enough(
    run: Any, environment: dict[str, str], job_file: str, command: str
) -> None:
    run("submit", job_file, "--watch")
    arguments = [command, *([job_id_of(job_file)] if command != "jobs" else [])]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*COMMAND, *arguments], env=environment, stdout=writing, stderr=subprocess.PIPE,
            text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def on_a_terminal(environment: dict[str, str], *arguments: str) -> str:
    """What a terminal would be sent."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0, seen
    return seen.decode()


def test_a_terminal_has_colours_and_a_bar(environment: dict[str, str], job_file: str) -> None:
    steps = ("--set", "extra_parameters.steps=4", "--set", "extra_parameters.seconds_per_step=0.2")
    seen = on_a_terminal(environment, "submit", job_file, "--watch", *steps)
    assert "━" in seen
    assert re.search(r"step \d/4", seen)
    assert seen.endswith("B\r\n")
    assert "\x1b[?25h" in seen, "the cursor comes back"
    assert COLOUR.search(on_a_terminal(environment, "jobs"))
    assert not COLOUR.search(on_a_terminal({**environment, "NO_COLOR": "1"}, "jobs"))
