"""Whole trainings, method by method; each result is loaded with plain transformers and peft."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from support.trainer_bench import Bench
from tunegate.contract.attempt import Manifest
from tunegate.trainer.data.packing import pack
from tunegate.trainer.files import describe_file

NF4 = {"kind": "nf4", "compute_dtype": "float32"}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "lora-bf16": {"precision": "bf16"},
    "dora": {"method": "peft", "adapter": {"options": {"use_dora": True}}},
    "rslora-pissa": {
        "method": "peft",
        "adapter": {"options": {"use_rslora": True, "init_lora_weights": "pissa"}},
    },
    "ia3": {
        "method": "peft",
        "adapter": {
            "peft_type": "IA3",
            "target_modules": ["k_proj", "v_proj", "down_proj"],
            "options": {"feedforward_modules": ["down_proj"]},
        },
        "tuning": {"learning_rate": 5e-2},
    },
    "prompt-tuning": {
        "method": "peft",
        "adapter": {"peft_type": "PROMPT_TUNING", "options": {"num_virtual_tokens": 4}},
        "tuning": {"learning_rate": 5e-2},
    },
    "prefix-tuning": {
        "method": "peft",
        "adapter": {"peft_type": "PREFIX_TUNING", "options": {"num_virtual_tokens": 4}},
        "tuning": {"learning_rate": 5e-2},
    },
    "olora": {"method": "peft", "adapter": {"options": {"init_lora_weights": "olora"}}},
    "muon-neftune-loraplus-wsd": {
        "tuning": {
            "optimizer": "muon",
            "neftune_noise_alpha": 5.0,
            "loraplus_lr_ratio": 4.0,
            "lr_scheduler": "wsd",
        },
    },
    "qlora": {"method": "qlora", "quantization": NF4},
    "int8": {"quantization": {"kind": "int8"}},
    "full": {"method": "full", "adapter": None},
    "full-bf16": {"method": "full", "adapter": None, "precision": "bf16"},
    "adamw-8bit": {"tuning": {"optimizer": "adamw_8bit"}},
    "sgd": {"tuning": {"optimizer": "sgd", "learning_rate": 0.5}},
    "checkpointed": {"tuning": {"gradient_checkpointing": True}},
    "unpacked": {"tuning": {"packing": False}},
}
EXACT = {"olora", "prefix-tuning", "muon-neftune-loraplus-wsd", "lora", "dora", "rslora-pissa", "ia3", "full", "adamw-8bit", "sgd", "checkpointed", "unpacked"}  # fmt: skip


def reload(bench: Bench, job_id: str) -> Any:
    """The result with plain libraries, in fp32."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    output = bench.output(job_id)
    if (output / "adapter_config.json").exists():
        model = AutoModelForCausalLM.from_pretrained(bench.base, dtype=torch.float32)
        return PeftModel.from_pretrained(model, output).eval()
    return AutoModelForCausalLM.from_pretrained(output, dtype=torch.float32).eval()


def held_out_loss(bench: Bench, model: Any, job_id: str) -> float:
    """Mean loss per target token over the rows that the run held out, one row at a time."""
    from transformers import AutoTokenizer

    from tunegate.trainer.data import prepare
    from tunegate.trainer.data.fetch import LocalFile, LocalSource

    spec = bench.spec(job_id)
    file = LocalFile(path=bench.data, name="rows.jsonl", size_bytes=0, sha256="")
    source = LocalSource(
        source="x", format="auto", split=None, weight=1.0, streaming=False, files=[file]
    )
    tokenizer = AutoTokenizer.from_pretrained(bench.output(job_id))
    store = prepare([source], spec.tuning, tokenizer, lambda _: None).eval
    total = 0.0
    for index in range(len(store)):
        batch = pack(store, [index])
        ids, labels = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.labels)
        with torch.no_grad():
            total += model(input_ids=ids, labels=labels).loss.item() * batch.num_targets
    return total / store.supervised_tokens


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_method_learns_and_its_result_loads(bench: Bench, name: str) -> None:
    assert bench.run(bench.spec(name, **METHODS[name])) == 0, bench.last(name)
    metrics = bench.metrics(name)
    assert metrics["eval_loss"] < metrics["first_eval_loss"] - 0.02
    loss = held_out_loss(bench, reload(bench, name), name)
    close = 1e-4 if name in EXACT else 0.05
    assert loss == pytest.approx(metrics["eval_loss"], abs=close)
    kinds = {load.dtype for f in bench.output(name).glob("*.safetensors") for load in load_file(f).values()}  # fmt: skip
    assert kinds == ({torch.bfloat16} if name == "full-bf16" else {torch.float32})


@pytest.mark.slow
def test_what_a_run_leaves(bench: Bench) -> None:
    spec = bench.spec("leaves", metadata={"team": "a"}, trainable_layers=["decoder.layers.0"])
    assert bench.run(spec) == 0
    output = bench.output("leaves")
    names = {path.name for path in output.iterdir()}
    assert {
        "adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "README.md",
        "chat_template.jinja", "curves.svg", "training.json", "metrics.json", "manifest.json",
        "worst_rows.jsonl",
    } == names - {"tokenizer_config.json", "special_tokens_map.json"}  # fmt: skip
    manifest = msgspec.json.decode((output / "manifest.json").read_bytes(), type=Manifest)
    assert {file.path for file in manifest.files} == names - {"manifest.json"}
    assert all(describe_file(output / file.path, output) == file for file in manifest.files)
    config = json.loads((output / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(bench.base)
    record = json.loads((output / "training.json").read_text())
    assert record["isolation"] == "segments"
    assert record["spec"]["job_id"] == "leaves"
    assert "storage" not in record["spec"]
    assert record["data"]["train_examples"] == 56
    assert "| rows.jsonl | 64 |" in (output / "README.md").read_text()
    logs = bench.folder / "logs" / "leaves"
    assert "step 7/7" in (logs / "train.log").read_text()
    assert list((logs / "tensorboard").iterdir())
    notes = [event["text"] for event in bench.events("leaves") if event["kind"] == "note"]
    assert any("trains block 0 of 2, as trainable_layers asks" in note for note in notes)
    trained = load_file(output / "adapter_model.safetensors")
    assert all(".layers.0." in name for name in trained)
    assert bench.last("leaves")["kind"] == "succeeded"


def test_a_small_batch_at_a_time_is_the_same_training(bench: Bench) -> None:
    """Accumulated micro batches weigh every target token alike, however the examples were packed."""
    # Plain SGD: Adam would blow rounding up where gradients are close to nothing.
    still: dict[str, Any] = {"adapter": {"dropout": 0.0}}
    plain = {"optimizer": "sgd", "learning_rate": 0.5}
    whole = bench.spec("whole", **still, tuning={**plain, "micro_batch_size": 8})
    parts = bench.spec("parts", **still, tuning={**plain, "micro_batch_size": 1})
    assert bench.run(whole) == bench.run(parts) == 0
    one = load_file(bench.output("whole") / "adapter_model.safetensors")
    other = load_file(bench.output("parts") / "adapter_model.safetensors")
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-4, atol=1e-6)
    assert bench.metrics("parts")["loss"] == pytest.approx(bench.metrics("whole")["loss"], rel=1e-5)


def test_full_training_of_one_block_leaves_the_others(bench: Bench) -> None:
    spec = bench.spec("one", method="full", adapter=None, trainable_layers=["layers.1"])
    assert bench.run(spec) == 0
    before = load_file(bench.base / "model.safetensors")
    after = load_file(bench.output("one") / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("model.layers.1.") for name in changed)


def test_early_stopping_goes_back_to_the_best(bench: Bench) -> None:
    tuning = {"early_stopping_patience": 2, "eval_steps": 1, "num_epochs": 40, "learning_rate": 0.2}
    assert bench.run(bench.spec("early", tuning=tuning, adapter={"dropout": 0.0})) == 0
    metrics = bench.metrics("early")
    assert metrics["steps"] < 280
    loss = held_out_loss(bench, reload(bench, "early"), "early")
    assert loss == pytest.approx(metrics["best_eval_loss"], abs=1e-4)


@pytest.fixture
def torn_base(bench: Bench, tmp_path: Path) -> Path:
    folder = tmp_path / "torn"
    folder.mkdir()
    for file in bench.base.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


FAILURES: dict[str, tuple[dict[str, Any], str, str]] = {
    "no-data": ({"datasets": [{"source": "/nowhere/rows.jsonl"}]}, "data_not_found", "rows.jsonl"),
    "no-model": ({"model": {"name": "/nowhere", "provider": "custom"}}, "model_not_found", "/nowhere"),
    "no-module": ({"adapter": {"target_modules": ["q_prj"]}}, "config_invalid", "q_prj"),
    "no-key": ({"adapter": {"options": {"use_dra": True}}}, "config_invalid", "did you mean use_dora"),
    "no-type": ({"adapter": {"peft_type": "MAGIC"}}, "config_invalid", "MAGIC"),
    "no-layer": ({"trainable_layers": ["layers.7"]}, "config_invalid", "model.layers.0 to model.layers.1"),
    "diverged": (
        {"method": "full", "adapter": None, "tuning": {"learning_rate": 1e30, "max_grad_norm": 1e30}},
        "diverged", "not finite",
    ),
    "no-output": (
        {"output": {"output_uri": "/proc/nowhere/x/", "log_uri": None}}, "output_not_writable", "/proc/nowhere",
    ),
    "outside": (
        {"output": {"output_uri": "/tmp/x/"}, "storage": {"file_roots": ["/nowhere"]}},
        "data_access_denied", "rows.jsonl",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_has_its_code_and_says_why(
    bench: Bench, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from tunegate.sdk.errors import CATALOGUE

    fields, code, words = FAILURES[name]
    assert bench.run(bench.spec(name, **fields)) == CATALOGUE[code].exit_code
    line = next(x for x in capsys.readouterr().out.splitlines() if f"failed ({code})" in x)
    assert words in line
    assert not (bench.output(name) / "manifest.json").exists()


def test_a_crash_writes_its_traceback_without_secrets(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tunegate.contract.secret import Secret
    from tunegate.contract.training import TrainerSecrets
    from tunegate.trainer import optimizer
    from tunegate.trainer.attempt import run_attempt
    from tunegate.trainer.config import Launch

    def broken(*_: object) -> None:
        raise KeyError("canary-secret")

    monkeypatch.setattr(optimizer, "make_optimizer", broken)
    secrets = TrainerSecrets(hub_token=Secret("canary-secret"))
    launch = Launch(spec=bench.spec("crash"), work_dir=bench.folder / "work", secrets=secrets)
    assert run_attempt(launch) == 1
    out = capsys.readouterr().out
    assert "KeyError: '***'" in out
    assert "canary-secret" not in out
    assert bench.last("crash") == {
        "kind": "failed", "code": "trainer_crashed", "detail": "The trainer broke with KeyError.",
    }  # fmt: skip
