"""A copy of the result on the model hub. The job's result is complete without it: a failed push is a note."""

from pathlib import Path

from tunegate.contract.secret import Secret
from tunegate.contract.training import HubPlan


class PushFailed(Exception):
    """Why; the end of a sentence for the user, without the token."""


def push_to_hub(
    folder: Path, plan: HubPlan, endpoint: str | None, token: Secret | None, job_id: str
) -> str:
    """Create the repository if need be and commit all files of `folder`; gives its address. Raises PushFailed."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if token is None:
        raise PushFailed("there is no token; give push_to_hub.token or base_model.auth_token")
    api = HfApi(endpoint=endpoint, token=token.reveal())
    try:
        api.create_repo(plan.repo_id, private=plan.private, exist_ok=True)
        if plan.revision != "main":
            api.create_branch(plan.repo_id, branch=plan.revision, exist_ok=True)
        message = f"Result of the training job {job_id}"
        api.upload_folder(
            repo_id=plan.repo_id, folder_path=folder, revision=plan.revision, commit_message=message
        )
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in {401, 403}:
            raise PushFailed(f"the token may not write to {plan.repo_id}") from error
        raise PushFailed(f"the hub answered with status {status}") from error
    except OfflineModeIsEnabled as error:
        raise PushFailed("this machine works offline") from error
    except Exception as error:
        raise PushFailed(f"the hub could not be reached ({type(error).__name__})") from error
    return f"{api.endpoint}/{plan.repo_id}"
