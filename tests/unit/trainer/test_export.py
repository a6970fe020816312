"""What a result holds, and that no file of it can be spoilt unseen."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import torch
from safetensors.torch import load_file, save_file

from support.trainer_bench import Bench
from tunegate.contract.training import TrainingSpec
from tunegate.sdk.errors import CATALOGUE
from tunegate.trainer import deliver, export

Spoil = Callable[[Path], None]
ADAPTER = "adapter_model.safetensors"
SHORT: dict[str, Any] = {"max_steps": 2, "held_out_fraction": 0.0}


def once_written(monkeypatch: pytest.MonkeyPatch, spoil: Spoil) -> None:
    """Spoil the result when it is written and before it is checked."""
    write = export.export

    def and_spoil(folder: Path, trained: Any) -> Any:
        made = write(folder, trained)
        spoil(folder)
        return made

    monkeypatch.setattr(deliver, "export", and_spoil)


def spec_of(bench: Bench, job_id: str, **fields: Any) -> TrainingSpec:
    output = {"output_uri": f"file://{bench.folder}/out/{job_id}/"} | fields.pop("output", {})
    output["log_uri"] = f"file://{bench.folder}/logs/{job_id}/"
    return bench.spec(job_id, output=output, tuning=SHORT | fields.pop("tuning", {}), **fields)


def tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Spoil:
    def spoil(folder: Path) -> None:
        file = next(folder.glob("*.safetensors"))
        held = load_file(file)
        change(held)
        save_file(held, file, metadata={"format": "pt"})

    return spoil


def to_nan(held: dict[str, torch.Tensor]) -> None:
    next(iter(held.values())).view(-1)[0] = float("nan")


def stir(held: dict[str, torch.Tensor]) -> None:
    next(iter(held.values())).view(-1)[0] += 1e-6


def lose(held: dict[str, torch.Tensor]) -> None:
    held.pop(next(iter(held)))


def edit(name: str, **changes: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return spoil


def tear(name: str) -> Spoil:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-9]) and None


def drop(name: str) -> Spoil:
    return lambda folder: (folder / name).unlink()


SPOILT: dict[str, tuple[Spoil, str]] = {
    "not a number": (tensors(to_nan), "artifact_not_finite"),
    "another number": (tensors(stir), "artifact_mismatch"),
    "a tensor less": (tensors(lose), "artifact_mismatch"),
    "torn weights": (tear(ADAPTER), "artifact_invalid"),
    "no weights": (drop(ADAPTER), "artifact_invalid"),
    "other settings": (edit("adapter_config.json", lora_alpha=7), "artifact_mismatch"),
    "torn settings": (tear("adapter_config.json"), "artifact_invalid"),
    "no template": (drop("chat_template.jinja"), "artifact_mismatch"),
    "torn tokenizer": (tear("tokenizer.json"), "artifact_invalid"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_result_is_not_published(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spoil, code = SPOILT[name]
    once_written(monkeypatch, spoil)
    assert bench.run(spec_of(bench, "spoilt")) == CATALOGUE[code].exit_code
    assert bench.last("spoilt")["code"] == code
    assert not (bench.output("spoilt") / "manifest.json").exists()


@pytest.mark.slow
def test_every_single_file_is_guarded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a file is for: one bit of it turned after it was written, and the job fails."""
    kept: list[Path] = []
    once_written(monkeypatch, lambda folder: kept.append(shutil.copytree(folder, bench.folder / "kept")) and None)  # fmt: skip
    fields: dict[str, Any] = {"output": {"merge_adapter": True}}
    assert bench.run(spec_of(bench, "fine", **fields)) == 0
    [copy] = kept
    names = [str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()]
    assert {"README.md", "curves.svg", "training.json", "merged/model.safetensors"} <= set(names)
    again = export.export

    def instead(name: str) -> Callable[..., Any]:
        def spoilt(folder: Path, trained: Any) -> Any:
            made = again(folder, trained)
            content = bytearray((folder / name).read_bytes())
            content[-2] ^= 1
            (folder / name).write_bytes(content)
            return made

        return spoilt

    for name in names:
        monkeypatch.setattr(deliver, "export", instead(name))
        shutil.rmtree(bench.output("spoilt"), ignore_errors=True)
        shutil.rmtree(bench.folder / "logs", ignore_errors=True)
        assert bench.run(spec_of(bench, "spoilt", **fields)) in {76, 80, 81, 82, 83}, name
        assert bench.last("spoilt")["code"].startswith("artifact_"), name
        assert not (bench.output("spoilt") / "manifest.json").exists(), name


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_nothing_learned_is_no_result(bench: Bench, method: str) -> None:
    fields: dict[str, Any] = {"method": "full", "adapter": None} if method == "full" else {}
    spec = spec_of(bench, "still", tuning={"learning_rate": 1e-60, "weight_decay": 0.0}, **fields)
    assert bench.run(spec) == CATALOGUE["artifact_empty"].exit_code


@pytest.mark.slow
def test_the_card_tells_licence_data_and_course(bench: Bench) -> None:
    bench.base = Path(shutil.copytree(bench.base, bench.folder / "base"))
    (bench.base / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n# Base\n")
    assert bench.run(bench.spec("card")) == 0
    card = (bench.output("card") / "README.md").read_text()
    front = card.split("---")[1]
    assert 'license: "mit"' in front
    assert re.search(r"\| rows\.jsonl \| 64 \| `[0-9a-f]{64}` \|", card)
    assert "![" in card
    assert "curves.svg" in card
    picture = ET.fromstring((bench.output("card") / "curves.svg").read_text())
    lines = [e for e in picture if e.tag.endswith("polyline")]
    assert [len(line.attrib["points"].split()) for line in lines] == [7, 2]
    record = json.loads((bench.output("card") / "training.json").read_text())
    assert re.fullmatch("[0-9a-f]{64}", record["digest"])
    assert re.fullmatch("[0-9a-f]{64}", record["tokenizer"]["tokenizer_sha256"])
    assert record["resumed_from"] == []


NF4 = {"kind": "nf4", "compute_dtype": "float32"}
MERGES: dict[str, dict[str, Any]] = {
    "lora": {},
    "qlora": {"method": "qlora", "quantization": NF4},
    "pissa": {"adapter": {"options": {"init_lora_weights": "pissa"}}},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MERGES)
def test_the_merged_model_says_what_base_and_adapter_say(bench: Bench, name: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert bench.run(spec_of(bench, name, output={"merge_adapter": True}, **MERGES[name])) == 0
    output = bench.output(name)
    merged = AutoModelForCausalLM.from_pretrained(output / "merged").eval()
    base = AutoModelForCausalLM.from_pretrained(bench.base)
    both = PeftModel.from_pretrained(base, str(output)).eval()
    tokenizer = AutoTokenizer.from_pretrained(output / "merged")
    ids = tokenizer("What colour has car 7?", return_tensors="pt").input_ids
    with torch.no_grad():
        torch.testing.assert_close(merged(ids).logits, both(ids).logits, rtol=1e-4, atol=1e-4)
        with both.disable_adapter():
            assert not torch.allclose(merged(ids).logits, both(ids).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_no_merged_form_and_no_hub_are_notes(bench: Bench) -> None:
    prompt: dict[str, Any] = {
        "method": "peft",
        "adapter": {"peft_type": "PROMPT_TUNING", "options": {"num_virtual_tokens": 4}},
    }
    output = {"merge_adapter": True, "push_to_hub": {"repo_id": "team/model"}}
    assert bench.run(spec_of(bench, "noted", output=output, **prompt)) == 0
    notes = " | ".join(e["text"] for e in bench.events("noted") if e["kind"] == "note")
    assert "not merged: PROMPT_TUNING" in notes
    assert "not pushed to the hub: there is no token" in notes
    assert (bench.output("noted") / "manifest.json").exists()
    assert not (bench.output("noted") / "merged").exists()
