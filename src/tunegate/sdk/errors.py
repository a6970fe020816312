"""The one catalogue of errors: stable codes, who can mend them, whether to try again, and what to do.

`docs/ERRORS.md` is written from this file and a test holds the two together.
"""

from enum import StrEnum

from tunegate.contract.base import Wire
from tunegate.contract.job import JobError
from tunegate.contract.problems import Problem


class Origin(StrEnum):
    """Who can mend it."""

    USER = "user"
    INFRA = "infra"
    GATEWAY = "gateway"


class ErrorSpec(Wire):
    """One entry. `http_status` for errors of a request, `exit_code` for those that end a trainer."""

    code: str
    title: str
    advice: str
    origin: Origin = Origin.USER
    retryable: bool = False
    http_status: int | None = None
    exit_code: int | None = None


def _request(
    code: str,
    status: int,
    title: str,
    advice: str,
    *,
    retryable: bool = False,
    origin: Origin = Origin.USER,
) -> ErrorSpec:
    return ErrorSpec(
        code=code,
        title=title,
        advice=advice,
        origin=origin,
        retryable=retryable,
        http_status=status,
    )


def _problem(code: str, title: str, advice: str) -> ErrorSpec:
    return ErrorSpec(code=code, title=title, advice=advice)


def _failure(
    code: str,
    exit_code: int | None,
    title: str,
    advice: str,
    *,
    origin: Origin = Origin.USER,
    retryable: bool = False,
) -> ErrorSpec:
    return ErrorSpec(
        code=code,
        title=title,
        advice=advice,
        origin=origin,
        retryable=retryable,
        exit_code=exit_code,
    )


_ENTRIES: tuple[ErrorSpec, ...] = (
    # Answers to a request.
    _request("bad_http", 400, "The request is not sound HTTP", "Send HTTP/1.1 as RFC 9112 has it: every header once, one length, the path as it is."),
    _request("malformed_json", 400, "The body is not JSON", "Send one JSON object; NaN and Infinity are not JSON."),
    _request("invalid_utf8", 400, "The body is not UTF-8", "Encode the body as UTF-8."),
    _request("body_too_deep", 400, "The body is nested too deeply", "Nest objects and lists at most 64 deep."),
    _request("duplicate_key", 400, "A key stands twice in one object", "Send every key once."),
    _request("nul_character", 400, "A string holds a NUL character", "Remove \\u0000 from the strings."),
    _request("invalid_request", 400, "The request does not fit the contract", "Mend every entry of `errors`; docs/API_SPEC.md lists all fields."),
    _request("invalid_parameter", 400, "A query parameter or header is not valid", "Mend the parameter that `errors` names."),
    _request("unauthorized", 401, "No valid token", "Send Authorization: Bearer TOKEN or X-TRAINER-TOKEN: TOKEN."),
    _request("forbidden", 403, "The token does not allow this", "Use a token with the right scope, or ask the operator."),
    _request("host_not_allowed", 403, "The Host or Origin header is not allowed", "Call the gateway by a name in server.allowed_hosts."),
    _request("not_found", 404, "No such route", "See /schema for the routes."),
    _request("job_not_found", 404, "No such job", "Check the job_id; jobs of other tokens can't be seen."),
    _request("token_not_found", 404, "No such token, or it ended", "See GET /tokens for those that can be used."),
    _request("backend_not_found", 404, "No such backend", "See GET /backends for what is installed."),
    _request("method_not_allowed", 405, "The route does not take this method", "See /schema for the routes."),
    _request("head_too_slow", 408, "The head of the request did not come in time", "Send all headers within server.head_deadline_s.", retryable=True),
    _request("body_too_slow", 408, "The body did not come in time", "Send the whole body within server.body_deadline_s.", retryable=True),
    _request("job_conflict", 409, "The job_id is taken by a different request", "Choose a new job_id, or send exactly the same body to get that job."),
    _request("job_not_finished", 409, "The job is still active", "Cancel the job or wait for its end."),
    _request("job_not_retryable", 409, "The job can't be retried", "Only failed and cancelled jobs can go on."),
    _request("secrets_gone", 409, "The job's credentials were destroyed when it ended", "Send the job's full request as the body of the retry."),
    _request("claim_refused", 409, "Another run holds this attempt", "Leave: this run was superseded."),
    _request("nobody_to_tell", 409, "The job has no webhook address any more", "Send `webhook_url` (and `auth_header`) in the body of the replay."),
    _request("body_too_large", 413, "The body is too large", "Keep the request below server.body_limit_bytes."),
    _request("unsupported_media_type", 415, "The content type is not application/json", "Send Content-Type: application/json."),
    _request("invalid_job", 422, "The job can't run as asked", "Mend every entry of `errors`."),
    _request("invalid_status", 422, "The report does not fit the protocol", "Mend every entry of `errors`; docs/API_SPEC.md lists all fields."),
    _request("rate_limited", 429, "Too many requests", "Wait as long as retry-after says.", retryable=True),
    _request("too_many_jobs", 429, "The tenant has as many unfinished jobs as it may have", "Wait for a job to end, or cancel one.", retryable=True),
    _request("too_many_streams", 429, "Too many open event streams", "Close a stream first.", retryable=True),
    _request("head_too_large", 431, "The head of the request is too large", "Send fewer and shorter headers."),
    _request("internal_error", 500, "The gateway made a mistake", "Report the request_id to the operator.", origin=Origin.GATEWAY, retryable=True),
    _request("unavailable", 503, "The gateway can't take this now", "Try again as retry-after says; the same request again is safe.", origin=Origin.GATEWAY, retryable=True),
    # Entries of `errors` in a 400 or 422.
    _problem("wrong_type", "A value has the wrong type", "Send the type that the message names."),
    _problem("missing_field", "A required field is missing", "Add the field."),
    _problem("unknown_field", "The field is not known", "Remove it or spell it as the message suggests."),
    _problem("out_of_range", "A value is out of range", "Choose a value in the range that the message names."),
    _problem("invalid_choice", "A value is not one of the choices", "Choose one that the message lists."),
    _problem("invalid_format", "A string does not have the required form", "Follow the form that the message names."),
    _problem("invalid_length", "A string or list is too short or too long", "Keep to the length that the message names."),
    _problem("conflicting_fields", "Two fields contradict each other", "Give one of them, or the same value in both."),
    _problem("not_supported", "The backend or launcher can't do this", "Choose what the message offers."),
    _problem("not_allowed", "The operator does not allow this", "Use an address or setting that the operator allows."),
    _problem("ambiguous_backend", "Several backends serve this method", "Name one in `backend`."),
    _problem("no_backend", "No installed backend serves this", "Choose a method and provider that GET /backends lists."),
    _problem("insufficient_resources", "The launcher can't give these resources", "Ask for less, or choose another launcher."),
    _problem("credentials_in_address", "An address holds a user name or password", "Move the credentials into `auth`."),
    # Why a job failed; exit codes are the trainer's.
    _failure("config_invalid", 64, "The settings can't be trained with", "Mend the setting that the message names."),
    _failure("data_not_found", 65, "A data set is not there", "Check the address and that the object exists."),
    _failure("data_access_denied", 66, "A data set can't be read with these credentials", "Check the credentials and the bucket's policy."),
    _failure("data_invalid", 67, "A data set has a bad row", "Mend the row that the message names."),
    _failure("data_empty", 68, "There is nothing to learn from", "Add rows whose answers fit into max_sequence_length."),
    _failure("model_not_found", 69, "The base model is not there", "Check model_name, revision and weights_url."),
    _failure("model_access_denied", 70, "The base model can't be read with these credentials", "Check the hub token and that its owner accepted the model's terms."),
    _failure("model_invalid", 71, "The base model can't be loaded", "Give a causal language model in Hugging Face format with safetensors."),
    _failure("output_not_writable", 72, "The output folder can't be written", "Check output_uri and the credentials in artifacts.auth."),
    _failure("storage_unavailable", 73, "An object store did not answer", "Try again; the store was out of reach for long.", origin=Origin.INFRA, retryable=True),
    _failure("out_of_memory", 74, "The memory did not suffice", "Lower max_sequence_length or micro_batch_size, or use qlora."),
    _failure("diverged", 75, "The loss is not a finite number any more", "Lower the learning rate, or use bf16 or fp32."),
    _failure("artifact_invalid", 76, "The result did not pass its checks", "Report this with training.json; the weights were not published."),
    _failure("artifact_not_finite", 80, "The trained weights hold NaN or infinity", "Lower the learning rate, or use bf16 or fp32; the weights were not published."),
    _failure("artifact_empty", 81, "The training changed nothing", "Raise the learning rate or train longer; the weights were not published."),
    _failure("artifact_mismatch", 82, "The result is not what was trained", "Report this with the job's log; the weights were not published."),
    _failure("artifact_damaged", 83, "A file of the result was damaged on its way", "Retry; if it comes again, check the disks and the object store.", origin=Origin.INFRA, retryable=True),
    _failure("interrupted", 77, "The run was stopped from outside", "Retry: it goes on from the last checkpoint.", origin=Origin.INFRA, retryable=True),
    _failure("rank_lost", 84, "One of the job's processes died, or could not be reached", "Retry: it goes on from the last checkpoint. If it comes again, ask for more memory, or fewer GPUs.", origin=Origin.INFRA, retryable=True),
    _failure("superseded", 78, "Another run of this attempt won the claim", "Nothing to do.", origin=Origin.INFRA),
    _failure("gateway_unreachable", 79, "The trainer could not reach the gateway", "Check that the runs can reach server.public_url.", origin=Origin.INFRA, retryable=True),
    _failure("trainer_crashed", 1, "The trainer ended with an error of its own", "Report this with the job's log.", origin=Origin.GATEWAY),
    _failure("program_failed", None, "The program ended with an error of its own", "See the job's log."),
    _failure("output_missing", None, "The program ended well and left no result", "Let it write its result below output_uri."),
    _failure("output_not_readable", None, "The run ended well, but the gateway may not read its result", "Let the credentials in artifacts.auth read below output_uri, then retry: it goes on from the last checkpoint."),
    _failure("killed", None, "The run was killed by a signal", "If it was the memory, ask for more; else retry.", origin=Origin.INFRA, retryable=True),
    _failure("memory_exceeded", None, "The run was killed for its memory", "Ask for more memory, or lower micro_batch_size or max_sequence_length.", retryable=True),
    _failure("run_lost", None, "The run vanished from its engine", "Retry: it goes on from the last checkpoint.", origin=Origin.INFRA, retryable=True),
    _failure("launch_failed", None, "The engine refused the run", "See the message; mend the resources or the engine.", origin=Origin.INFRA),
    _failure("deadline_exceeded", None, "The job used up max_duration_minutes", "Raise max_duration_minutes and retry: it goes on from the last checkpoint."),
    _failure("manifest_invalid", None, "The run ended well but its manifest is missing or does not verify", "Retry the job.", origin=Origin.INFRA, retryable=True),
)  # fmt: skip

CATALOGUE: dict[str, ErrorSpec] = {entry.code: entry for entry in _ENTRIES}
BY_EXIT_CODE: dict[int, ErrorSpec] = {e.exit_code: e for e in _ENTRIES if e.exit_code is not None}


class TunegateError(Exception):
    """An error with a code of the catalogue. `detail` is for people and never holds a user's value that could be secret."""

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        problems: tuple[Problem, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        self.spec = CATALOGUE[code]
        self.detail = detail or self.spec.title
        self.problems = problems
        self.retry_after_s = retry_after_s
        super().__init__(f"{code}: {self.detail}")

    @property
    def code(self) -> str:
        return self.spec.code


def job_error(code: str, message: str | None = None) -> JobError:
    """The `error` of a failed job. An unknown code (of a newer trainer) is kept and counted as the gateway's."""
    spec = CATALOGUE.get(code) or ErrorSpec(
        code=code, title=code, advice="See the job's log.", origin=Origin.GATEWAY
    )
    return JobError(
        code=spec.code,
        origin=spec.origin,
        message=message or spec.title,
        advice=spec.advice,
        retryable=spec.retryable,
    )
