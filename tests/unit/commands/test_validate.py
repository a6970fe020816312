"""`tunegate validate` and `render`: no gateway anywhere."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunegate.cli import main
from tunegate.terminal import survey

Run = Callable[..., tuple[int, str, str]]
CANARY = "canary-31c8"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("TUNEGATE_CONFIG", raising=False)

    def ran(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return ran


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [
        {"messages": [{"role": "user", "content": "say"}, {"role": "assistant", "content": said}]}
        for said in ("one", "two", "two", "three " * 200)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def job(tmp_path: Path, data: Path) -> str:
    body = {
        "job_id": "checked",
        "base_model": {"provider": "huggingface", "model_name": "a/b-1B", "auth_token": CANARY},
        "customization": {"method": "lora"},
        "resources": {"gpus": 4},
        "datasets": [{"source": f"file://{data}", "format": "auto"}],
        "artifacts": {
            "output_uri": "s3://results/x",
            "auth": {"aws_access_key_id": "x", "aws_secret_access_key": CANARY},
        },
        "tuning_parameters": {"max_sequence_length": 64},
    }
    file = tmp_path / "job.json"
    file.write_text(json.dumps(body))
    return str(file)


def test_the_request_alone(run: Run, job: str) -> None:
    code, out, err = run("validate", job, "--no-data")
    assert code == 0, err
    assert "huggingface-lora" in out
    assert "the request is fine" in out
    code, out, err = run("validate", job, "--no-data", "--json")
    told = json.loads(out)
    assert (told["backend"], told["launcher"], told["data"]) == ("huggingface-lora", None, None)
    assert told["predicted"]["parameters"] == 1_000_000_000
    assert CANARY not in out


def test_every_problem_at_once(run: Run, job: str) -> None:
    wrong = ("--set", "customization.rank=0", "--set", "datasets[0].format=xml")
    code, out, err = run("validate", job, *wrong, "--json")
    assert (code, out) == (3, "")
    paths = {each["path"] for each in json.loads(err)["error"]["errors"]}
    assert paths == {"$.customization.rank", "$.datasets[0].format"}
    code, _, err = run("validate", job, "--set", "base_model.model_name=x.nemo")
    assert code == 3
    assert err.count("$.base_model.model_name") >= 1


def test_a_gateways_settings_are_its_own(run: Run, job: str, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(f'state_dir = "{tmp_path}"\n[launchers.local]\ncpu_fallback = true\n')
    code, _, err = run("validate", job, "--config", str(config))
    assert code == 3
    assert "storage.file_roots" in err
    config.write_text(config.read_text() + f'[storage]\nfile_roots = ["{tmp_path}"]\n')
    code, out, err = run("validate", job, "--config", str(config), "--no-data")
    assert code == 0, err
    assert "ignored   $.resources.gpus" in out
    config.write_text("[server]\nport = 1\nnope = 2\n")
    assert run("validate", job, "--config", str(config))[0] == 2


def test_without_the_trainer_rows_are_counted_and_the_rest_is_named(
    run: Run, job: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "find_spec", lambda _: None)
    code, out, err = run("validate", job)
    assert code == 0, err
    assert "4: 4 chat" in out
    assert "duplicates   1" in out
    assert "not counted  tokens, truncated: the trainer is not installed here" in out
    code, out, err = run("validate", job, "--set", "datasets[0].source=s3://b/x.jsonl")
    assert code == 0, err
    assert "not counted  rows, tokens" in out
    data.write_text('{"prompt": "a"}\n{"text": "b"}\nno json\n')
    code, _, err = run("validate", job)
    assert code == 3
    assert "rows.jsonl:1:" in err
    assert "rows.jsonl:3:" in err


def test_what_would_run(run: Run, job: str) -> None:
    code, out, err = run("render", job)
    assert code == 0, err
    rendered = json.loads(out)
    [file] = rendered["container"]["files"]
    assert file["content"]["adapter"]["rank"] == 16
    assert rendered["launcher_request"]["body"]["claim_token"] == "***"
    assert CANARY not in out
    code, out, err = run("render", job, "--json", "--set", "customization.rank=8")
    assert '"rank": 8' in json.loads(out)["container"]["files"][0]["content"]
    code, _, err = run("render", job, "--launcher", "nowhere")
    assert code == 3
    assert "'nowhere' can't be used here: it is not installed" in err


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    code = (
        "import sys; from tunegate.trainer.tiny import make_tiny_tokenizer;"
        "make_tiny_tokenizer(['one two three say'] * 50, 300).save_pretrained(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_the_data_in_tokens(run: Run, job: str, tokenizer: Path, data: Path) -> None:
    code, out, err = run("validate", job, "--tokenizer", str(tokenizer), "--json")
    assert code == 0, err
    report: dict[str, Any] = json.loads(out)["data"]["report"]
    assert (report["rows"], report["truncated"], report["duplicates"]) == (4, 1, 1)
    assert 0 < report["supervised_tokens"] < report["tokens"]
    assert report["longest"] == 64
    code, out, err = run("validate", job, "--tokenizer", str(tokenizer))
    assert code == 0, err
    assert "the request and its data are fine" in out
    assert "4 rows" in err
    data.write_text('{"text": "x"}\n{"nope": 1}\n')
    code, _, err = run("validate", job, "--tokenizer", str(tokenizer))
    assert code == 3
    assert "data_invalid: rows.jsonl:2:" in err
    other = data.with_name("other.jsonl")
    other.write_text('{"text": "one two"}\n' * 3)
    code, out, err = run("validate", job, "--tokenizer", str(tokenizer), "--data", str(other))
    assert code == 0, err
    assert "3: 3 examples to train on" in out
