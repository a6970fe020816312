"""Data sets of the model hub: the parquet, JSONL and CSV files of a data set repository."""

import asyncio
from pathlib import Path
from typing import NamedTuple

from tunegate.contract.secret import Secret
from tunegate.contract.training import DataSource
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.data.select import choose_files


class FetchedFile(NamedTuple):
    """A file on this machine and its name where it came from."""

    path: Path
    name: str


async def fetch_hub(
    source: DataSource, endpoint: str | None, token: Secret | None, folder: Path
) -> list[FetchedFile]:
    """Download the files of the wanted split (training when none is named) below `folder`.

    Raises TunegateError data_not_found, data_access_denied or storage_unavailable.
    """
    return await asyncio.to_thread(_fetch, source, endpoint, token, folder)


def _fetch(
    source: DataSource, endpoint: str | None, token: Secret | None, folder: Path
) -> list[FetchedFile]:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    api = HfApi(endpoint=endpoint, token=token.reveal() if token else False)
    repo = source.source
    try:
        listed = api.list_repo_files(repo, repo_type="dataset")
        names = choose_files(listed, source.split)
        if not names:
            raise TunegateError(
                "data_not_found",
                f"the hub data set {repo} has no parquet, JSONL or CSV file of this split",
            )
        return [
            FetchedFile(
                Path(api.hf_hub_download(repo, name, repo_type="dataset", local_dir=folder)), name
            )
            for name in names
        ]
    except GatedRepoError as error:
        raise TunegateError("data_access_denied", f"the hub data set {repo} is gated") from error
    except (
        RepositoryNotFoundError,
        RevisionNotFoundError,
        EntryNotFoundError,
        HFValidationError,
    ) as error:
        raise TunegateError("data_not_found", f"the hub has no data set {repo}") from error
    except HfHubHTTPError as error:
        if error.response.status_code in {401, 403}:
            raise TunegateError(
                "data_access_denied", f"the hub refuses the data set {repo}"
            ) from error
        raise TunegateError("storage_unavailable", f"the hub did not give {repo}") from error
    except OSError as error:
        raise TunegateError("storage_unavailable", f"the hub did not give {repo}") from error
