"""The base model: a provider that the backend serves, weights in a format that the trainer reads."""

from collections.abc import Iterator

from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.request import TrainRequest
from tunegate.sdk.addresses import path_of, scheme_of
from tunegate.sdk.checks import Finding


def check_model(job: TrainRequest, *, providers: frozenset[str]) -> Iterator[Finding]:
    """Provider, revision and weights. Whether the addresses are allowed is the gateway's to say."""
    model = job.base_model
    if model.provider not in providers:
        message = f"this backend serves {', '.join(sorted(providers))}"
        yield Problem(path="$.base_model.provider", message=message, code="not_supported")
    for field, uri in (("model_name", model.model_name), ("weights_url", model.weights_url)):
        if uri is not None and path_of(uri).lower().rstrip("/").endswith(".nemo"):
            yield Problem(
                path=f"$.base_model.{field}",
                message="a .nemo archive can't be read: export it to Hugging Face format first",
                code="not_supported",
            )
    from_hub = model.weights_url is None and not is_place(model.model_name)
    if model.revision not in {None, "main"} and not from_hub:
        reason = "weights that do not come from the hub have no revision"
        yield Ignored(path="$.base_model.revision", reason=reason)


def is_place(name: str) -> bool:
    """Whether a name is an address or a path, and not the name of something on the hub."""
    return bool(scheme_of(name)) or name.startswith((".", "/", "~"))
