"""Load tokenizer and model with transformers, and refuse clearly what can't be trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tunegate.contract.training import ModelSource, QuantizationPlan, TrainingSpec
from tunegate.sdk.errors import TunegateError
from tunegate.trainer import attention
from tunegate.trainer.device import DTYPE_NAMES, DTYPES, Device, Precision

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MULTIPLE = 64
"""On a CPU bitsandbytes quantises rows of other lengths wrongly (seen in 0.50: the error doubles)."""


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The model's tokenizer. Raises TunegateError model_invalid."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        _load_config(folder)  # read for the tokenizer too: it may be the culprit
        sentence = f"The tokenizer of the base model can't be loaded ({type(error).__name__})."
        raise TunegateError("model_invalid", sentence) from error


def load_model(
    folder: Path, spec: TrainingSpec, precision: Precision, device: Device, *, sharded: bool = False
) -> "PreTrainedModel":
    """The base model on its device, quantised when the job asks for it, without cache and with segment attention.

    `sharded`: it will be divided among processes. What is not quantised stays on the CPU until then, and 4-bit weights
    are stored as numbers of the other weights' dtype, so that FSDP can gather all of a block at once.
    Raises TunegateError model_invalid or config_invalid.
    """
    from transformers import AutoModelForCausalLM

    attention.register()
    settings: dict[str, Any] = {"dtype": precision.weights, "trust_remote_code": False}
    if spec.quantization is not None:
        storage = precision.weights if sharded else torch.uint8
        settings["quantization_config"] = _quantization(spec.quantization, storage)
    if device.is_cuda and (spec.quantization is not None or not sharded):
        settings["device_map"] = {"": device.torch_device.index}  # straight from the files
    loader: Any = AutoModelForCausalLM
    try:
        model, report = loader.from_pretrained(
            folder,
            config=_load_config(folder),
            use_safetensors=not spec.model.allow_pickle or None,
            output_loading_info=True,
            **settings,
        )
    except TunegateError:
        raise
    except Exception as error:
        raise _load_error(folder, error) from error
    if report["missing_keys"]:
        lacking = ", ".join(sorted(report["missing_keys"])[:3])
        sentence = f"The base model's files lack {len(report['missing_keys'])} of its weights, {lacking} among them."
        raise TunegateError("model_invalid", sentence)
    model.config.use_cache = False
    if spec.quantization is None:
        model.to("cpu" if sharded else device.torch_device)
    elif spec.quantization.kind == "int8" and not device.is_cuda:
        _prepare_8bit_for_cpu(model)
    elif not device.is_cuda:
        _prepare_4bit_for_cpu(model)
    return model


def model_name(source: ModelSource) -> str:
    """What the user called the base: this stands in the adapter's configuration."""
    return source.weights_url or source.name


def _load_config(folder: Path) -> Any:
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise _config_error(error) from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        sentence = f"The base model is a {config.model_type}, which is no causal language model."
        raise TunegateError("model_invalid", sentence)
    return config


def _config_error(error: Exception) -> TunegateError:
    text = str(error)
    if "trust_remote_code" in text:
        sentence = "The base model needs code of its own to run, and foreign code is never run."
    elif "model_type" in text or "model type" in text:
        sentence = (
            "The architecture of the base model is not known to this version of transformers."
        )
    else:
        sentence = f"The base model's config.json can't be read ({type(error).__name__})."
    return TunegateError("model_invalid", sentence)


def _load_error(folder: Path, error: Exception) -> Exception:
    """What broken weights look like; trouble of the machine stays what it is."""
    from safetensors import SafetensorError, safe_open

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return error
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt"):
                pass
        except (SafetensorError, OSError):
            return TunegateError(
                "model_invalid", f"The file {file.name} is torn or no safetensors."
            )
    if "trust_remote_code" in str(error):
        return _config_error(error)
    if isinstance(error, ImportError):
        sentence = "This machine lacks a library that the base model or its quantisation needs."
        return TunegateError("model_invalid", sentence)
    sentence = f"The weights do not fit the base model's config.json ({type(error).__name__})."
    return TunegateError("model_invalid", sentence)


def _quantization(plan: QuantizationPlan, storage: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    if plan.kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=plan.kind,
        bnb_4bit_use_double_quant=plan.double_quant,
        bnb_4bit_compute_dtype=DTYPES[DTYPE_NAMES[plan.compute_dtype]],
        bnb_4bit_quant_storage=storage,
    )


def _prepare_8bit_for_cpu(model: "PreTrainedModel") -> None:
    """Keep the layers' scales where PEFT reads weights back (DoRA).

    Without a GPU it moves the weight about then, and bitsandbytes takes the moved one, which has no scales, for new.
    """
    from bitsandbytes.nn import Linear8bitLt

    def stay(module: Any, _: Any) -> None:
        if module.weight.SCB is None:
            module.weight.CB = None

    for module in model.modules():
        if isinstance(module, Linear8bitLt):
            module.register_forward_pre_hook(stay)


def _prepare_4bit_for_cpu(model: "PreTrainedModel") -> None:
    """Check sizes and keep bitsandbytes from its CPU format for inference.

    It repacks a layer for good at the first pass in eval mode; the products of a repacked layer have no gradient, and
    all that a user would see of it is a warning and a poor result.
    """
    from bitsandbytes.nn import Linear4bit

    for name, module in model.named_modules():
        if not isinstance(module, Linear4bit):
            continue
        if module.in_features % MULTIPLE:
            sentence = (
                f"4-bit training without a GPU needs sizes in multiples of {MULTIPLE}; "
                f"{name} has {module.in_features}."
            )
            raise TunegateError("config_invalid", sentence)
        module.support_avx512bf16_for_cpu = False
