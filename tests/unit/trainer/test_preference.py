"""Preference tuning: the loss by hand, pairs that stay apart, a whole training with its result in plain libraries."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from torch.nn.functional import logsigmoid

from support.trainer_bench import Bench, rows
from tunegate.contract.training import TuningPlan
from tunegate.trainer import attention
from tunegate.trainer.data import BatchPlan, TokenStore, batch_plan
from tunegate.trainer.data.packing import pack
from tunegate.trainer.data.tokens import ROW
from tunegate.trainer.device import Device, Precision
from tunegate.trainer.forward import CausalForward, probe
from tunegate.trainer.loop import Loop
from tunegate.trainer.objective import Scores
from tunegate.trainer.preference import Preference, reference_losses
from tunegate.trainer.stop import StopFlag

VOCAB, BETA = 96, 0.2
CPU, FP32 = Device(torch.device("cpu")), Precision(torch.float32, torch.float32)


def store_of_pairs(sizes: list[tuple[int, int, int]]) -> TokenStore:
    """Pairs of (prompt, chosen, rejected) lengths, tokens at random."""
    draw = np.random.default_rng(0)
    ids: list[np.ndarray] = []
    mask: list[np.ndarray] = []
    table = np.zeros(len(sizes), ROW)
    start = 0
    for place, (prompt, *answers) in enumerate(sizes):
        asked = draw.integers(0, VOCAB, prompt)
        for answer in answers:
            ids.append(np.concatenate((asked, draw.integers(0, VOCAB, answer))))
            mask.append(np.arange(prompt + answer) >= prompt)
        length = 2 * prompt + sum(answers)
        table[place]["start"], table[place]["length"] = start, length
        table[place]["chosen"], table[place]["targets"] = prompt + answers[0], sum(answers)
        start += length
    return TokenStore(
        ids=np.concatenate(ids).astype(np.int32), mask=np.concatenate(mask), rows=table,
        files=("rows.jsonl",),
    )  # fmt: skip


STORE = store_of_pairs([(3, 4, 6), (1, 1, 9), (7, 2, 2), (5, 8, 3)])


def plan(**tuning: Any) -> BatchPlan:
    return batch_plan(STORE, TuningPlan(batch_size=4, num_epochs=1, **tuning))


@pytest.fixture
def adapted() -> Any:
    """A Llama with an adapter that already does something, and the same without it."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    attention.register()
    config = tf.LlamaConfig(
        vocab_size=VOCAB, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, pad_token_id=0,
    )  # fmt: skip
    return get_peft_model(
        tf.LlamaForCausalLM(config), LoraConfig(r=4, target_modules="all-linear")
    ).eval()


def shake(model: Any) -> None:
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)


def log_probability(model: Any, ids: torch.Tensor, prompt: int) -> torch.Tensor:
    """Of the tokens after the prompt, with the plain model and no packing."""
    logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
    each = logits.log_softmax(-1).gather(1, ids[1:, None]).squeeze(1)
    return each[prompt - 1 :].sum()


def by_hand(model: Any) -> list[dict[str, torch.Tensor]]:
    """Each pair's loss and rewards, from the formula."""
    found: list[dict[str, torch.Tensor]] = []
    for row in STORE.rows:
        ids = torch.from_numpy(STORE.ids[row["start"] : row["start"] + row["length"]]).long()
        mask = torch.from_numpy(STORE.mask[row["start"] : row["start"] + row["length"]])
        rewards: list[torch.Tensor] = []
        for part, counts in zip(ids.split([int(row["chosen"]), int(row["length"] - row["chosen"])]), mask.split([int(row["chosen"]), int(row["length"] - row["chosen"])]), strict=True):  # fmt: skip
            prompt = int((~counts).sum())
            with torch.no_grad(), model.disable_adapter():
                before = log_probability(model, part, prompt)
            rewards.append(BETA * (log_probability(model, part, prompt) - before))
        loss = -logsigmoid(rewards[0] - rewards[1])
        found.append({"loss": loss, "chosen": rewards[0], "rejected": rewards[1]})
    return found


@pytest.mark.parametrize("packing", [True, False])
def test_loss_metrics_and_gradients_are_those_of_the_formula(adapted: Any, packing: bool) -> None:
    forward = probe(adapted, CPU, FP32)
    reference = reference_losses(forward, STORE, plan(), StopFlag(), seen=True)
    shake(adapted)
    objective = Preference(forward, BETA, reference)
    scores = Scores(objective)
    for batch in plan(packing=packing).micro_batches(0):
        score = objective.score(batch)
        (score.losses.sum() / 4).backward()
        scores.add(batch, score)
    means = scores.read()
    gradients = {n: p.grad.clone() for n, p in adapted.named_parameters() if p.grad is not None}
    adapted.zero_grad()

    adapted.set_attn_implementation("eager")
    pairs = by_hand(adapted)
    torch.stack([pair["loss"] for pair in pairs]).mean().backward()
    for example, loss in zip(means.examples, means.losses, strict=True):
        assert loss == pytest.approx(pairs[example]["loss"].item(), rel=1e-6)
    assert means.loss == pytest.approx(sum(p["loss"].item() for p in pairs) / 4, rel=1e-6)
    chosen, rejected = (
        np.array([pair[side].item() for pair in pairs]) for side in ("chosen", "rejected")
    )
    assert means.values == pytest.approx(
        {
            "rewards/chosen": chosen.mean(), "rewards/rejected": rejected.mean(),
            "rewards/margins": (chosen - rejected).mean(),
            "rewards/accuracies": (chosen > rejected).mean(),
        }, rel=1e-4,
    )  # fmt: skip
    largest = max(gradient.abs().max() for gradient in gradients.values())
    for name, parameter in adapted.named_parameters():
        if name in gradients:
            assert parameter.grad is not None
            assert (parameter.grad - gradients[name]).abs().max() <= 5e-6 * largest, name


def test_the_reference_is_the_model_without_its_prompts() -> None:
    from peft import PromptTuningConfig, TaskType, get_peft_model

    torch.manual_seed(0)
    attention.register()
    config = tf.LlamaConfig(
        vocab_size=VOCAB, hidden_size=64, intermediate_size=128, num_hidden_layers=1,
        num_attention_heads=4, pad_token_id=0,
    )  # fmt: skip
    base: Any = tf.LlamaForCausalLM(config).eval()
    before = reference_losses(probe(base, CPU, FP32), STORE, plan(), StopFlag(), seen=True)
    prompts = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=3)
    model = get_peft_model(base, prompts).eval()
    found = reference_losses(probe(model, CPU, FP32), STORE, plan(), StopFlag(), seen=True)
    assert found == pytest.approx(before, rel=1e-5)


def test_only_pairs_that_the_plan_comes_to_are_looked_at(adapted: Any) -> None:
    forward = probe(adapted, CPU, FP32)
    short = batch_plan(STORE, TuningPlan(batch_size=1, max_steps=2))
    found = reference_losses(forward, STORE, short, StopFlag(), seen=True)
    seen = {int(short.examples(step)[0]) for step in range(2)}
    assert {int(place) for place in np.flatnonzero(found[:, 0])} == seen
    assert (reference_losses(forward, STORE, short, StopFlag(), seen=False) > 0).all()


def preferences(path: Path, count: int, seed: int) -> Path:
    """The answer that takes up the question's colour is better than one with another colour."""
    made: list[dict[str, Any]] = []
    for row in rows(count, seed):
        asked, answer = row["messages"]
        colour = answer["content"].split()[-1]
        other = next(c for c in ("red.", "green.", "blue.") if c != colour)
        wrong = {**answer, "content": answer["content"].replace(colour, other)}
        made.append({"prompt": [asked], "chosen": [answer], "rejected": [wrong]})
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


def prefers(model: Any, tokenizer: Any, path: Path) -> float:
    """How often the chosen answer is likelier, with plain libraries."""
    wins: list[bool] = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        asked = tokenizer.apply_chat_template(
            row["prompt"], tokenize=False, add_generation_prompt=True
        )
        prompt = len(tokenizer(asked)["input_ids"])
        found: list[float] = []
        for side in ("chosen", "rejected"):
            text = tokenizer.apply_chat_template(row["prompt"] + row[side], tokenize=False)
            ids = torch.tensor(tokenizer(text.rstrip("\n"))["input_ids"])
            with torch.no_grad():
                found.append(log_probability(model, ids, prompt).item())
        wins.append(found[0] > found[1])
    return sum(wins) / len(wins)


DPO: dict[str, dict[str, Any]] = {
    "lora": {},
    "full": {"method": "full", "adapter": None, "tuning": {"learning_rate": 1e-3}},
    "qlora": {"method": "qlora", "quantization": {"kind": "nf4", "compute_dtype": "float32"}},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DPO)
def test_a_training_learns_to_prefer(bench: Bench, name: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    bench.data = preferences(bench.folder / "pairs.jsonl", 160, 0)
    fields = dict(DPO[name])
    tuning = {"num_epochs": 3, "batch_size": 16, "dpo_beta": 0.5} | fields.pop("tuning", {})
    assert bench.run(bench.spec(name, tuning=tuning, **fields)) == 0, bench.last(name)
    metrics = bench.metrics(name)
    assert metrics["first_eval_loss"] == pytest.approx(np.log(2), rel=1e-4)
    assert metrics["eval_loss"] < 0.6
    assert metrics["eval_rewards/accuracies"] > 0.7
    logged = [event["values"] for event in bench.events(name) if event["kind"] == "metrics"]
    assert {"loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"} <= logged[1].keys()  # fmt: skip
    assert not any("perplexity" in values for values in logged)

    fresh = preferences(bench.folder / "fresh.jsonl", 60, 7)
    tokenizer = AutoTokenizer.from_pretrained(bench.output(name))
    base = AutoModelForCausalLM.from_pretrained(bench.base, dtype=torch.float32).eval()
    before = prefers(base, tokenizer, fresh)
    if name == "full":
        after = AutoModelForCausalLM.from_pretrained(bench.output(name), dtype=torch.float32)
    else:
        after = PeftModel.from_pretrained(base, bench.output(name))
    assert prefers(after.eval(), tokenizer, fresh) > max(before, 0.5) + 0.1


def test_resumed_equals_unbroken(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.data = preferences(bench.folder / "pairs.jsonl", 40, 0)
    tuning = {"num_epochs": 2}
    assert bench.run(bench.spec("unbroken", tuning=tuning)) == 0
    train_step = Loop._train_step

    def and_stop(self: Loop) -> None:
        train_step(self)
        if self.state.step == 4:
            self.stop.request("signal")

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_train_step", and_stop)
        assert bench.run(bench.spec("broken", tuning=tuning), "first") == 77
    assert bench.run(bench.spec("broken", tuning=tuning), "second") == 0
    one, other = (
        (bench.output(job) / "adapter_model.safetensors").read_bytes()
        for job in ("unbroken", "broken")
    )
    assert one == other
    worst = [(bench.output(job) / "worst_rows.jsonl").read_bytes() for job in ("unbroken", "broken")]  # fmt: skip
    assert worst[0] == worst[1]


def forward_of(model: Any) -> CausalForward:
    return probe(model, CPU, FP32)


def test_a_pair_does_not_see_its_neighbours(adapted: Any) -> None:
    shake(adapted)
    forward = forward_of(adapted)
    with torch.no_grad():
        together = forward.text_losses(pack(STORE, [0, 1, 2, 3]))
        alone = torch.cat([forward.text_losses(pack(STORE, [place])) for place in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)
