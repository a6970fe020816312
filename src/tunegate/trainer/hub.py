"""A base model from the model hub, or a mirror of it."""

from pathlib import Path

from tunegate.contract.secret import Secret
from tunegate.contract.training import ModelSource
from tunegate.sdk.errors import TunegateError

TEXT_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "README.md"]
"""Configuration, tokenizer, and the card, for its licence."""


def download_from_hub(
    source: ModelSource, endpoint: str | None, token: Secret | None, *, with_weights: bool = True
) -> Path:
    """The folder of a snapshot in the machine's hub cache; only what is needed is fetched.

    The cache may hold what another job was allowed to read, so access is asked for with this job's token first.
    Raises TunegateError model_not_found, model_access_denied, model_invalid or storage_unavailable.
    """
    from huggingface_hub import HfApi, hf_hub_url, snapshot_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name, given = source.name, token.reveal() if token else False
    api = HfApi(endpoint=endpoint, token=given)
    try:
        info = api.model_info(name, revision=source.revision)
        names = [one.rfilename for one in info.siblings or []]
        weights = weight_patterns(names, f"the hub model {name}", allow_pickle=source.allow_pickle)
        url = hf_hub_url(name, "config.json", revision=info.sha, endpoint=endpoint)
        api.get_hf_file_metadata(url=url)
        folder = snapshot_download(
            name,
            revision=info.sha,
            endpoint=endpoint,
            token=given,
            allow_patterns=[*TEXT_FILES, *(weights if with_weights else ())],
        )
    except GatedRepoError as error:
        sentence = f"The hub model {name} is gated, and the token given (if any) has no access."
        raise TunegateError("model_access_denied", sentence) from error
    except RepositoryNotFoundError as error:
        sentence = f"The hub has no model {name}, or it is private and the token has no access."
        raise TunegateError("model_not_found", sentence) from error
    except RevisionNotFoundError as error:
        sentence = f"The hub model {name} has no revision {source.revision}."
        raise TunegateError("model_not_found", sentence) from error
    except HFValidationError as error:
        sentence = f"{name} is no hub id; give OWNER/NAME, or a path with provider custom."
        raise TunegateError("model_not_found", sentence) from error
    except OfflineModeIsEnabled:
        return _cached(source)
    except LocalEntryNotFoundError as error:
        raise TunegateError(
            "storage_unavailable", f"The hub broke off while it gave {name}."
        ) from error
    except EntryNotFoundError as error:
        raise TunegateError("model_invalid", f"The hub model {name} has no config.json.") from error
    except HfHubHTTPError as error:
        if error.response.status_code in {401, 403}:
            sentence = f"The hub refuses {name} to the token given (if any)."
            raise TunegateError("model_access_denied", sentence) from error
        raise TunegateError("storage_unavailable", f"The hub did not give {name}.") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] in {"httpx", "httpx2", "httpcore", "httpcore2"}:
            raise TunegateError("storage_unavailable", "The model hub did not answer.") from error
        raise
    return Path(folder)


def weight_patterns(names: list[str], what: str, *, allow_pickle: bool) -> list[str]:
    """Which of a model's files hold its weights. Raises TunegateError model_invalid when none may be used."""
    top = [name for name in names if "/" not in name]
    if any(name.endswith(".safetensors") for name in top):
        return ["*.safetensors"]
    if any(name.endswith(".nemo") for name in names):
        sentence = f"{what} is a NeMo archive (.nemo); convert it to the Hugging Face format first."
        raise TunegateError("model_invalid", sentence)
    if any(name.endswith(".bin") for name in top):
        if allow_pickle:
            return ["*.bin"]
        sentence = f"{what} has pickled weights only, which may hold code; give it as safetensors."
        raise TunegateError("model_invalid", sentence)
    raise TunegateError("model_invalid", f"{what} has no weights in safetensors files.")


def _cached(source: ModelSource) -> Path:
    """The operator works offline: the cache is all there is."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(source.name, revision=source.revision, local_files_only=True)
    except LocalEntryNotFoundError as error:
        sentence = f"This machine works offline and its hub cache has no {source.name}."
        raise TunegateError("model_not_found", sentence) from error
    return Path(folder)
