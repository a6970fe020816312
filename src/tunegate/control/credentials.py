"""The credentials of a request: one complete kind per address, fit for its scheme, safe to put into a header. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.request import Auth, TrainRequest
from tunegate.contract.secret import Secret
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.addresses import scheme_of

_HEADER_SAFE = re.compile(r"[\x20-\x7e\xa0-\xff]*")


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    for_s3: bool

    def given(self, auth: Auth) -> bool:
        return any(getattr(auth, field) is not None for field in (*self.required, *self.optional))


_KINDS = (
    _Kind("a role", ("role_arn",), ("external_id",), for_s3=True),
    _Kind(
        "AWS keys",
        ("aws_access_key_id", "aws_secret_access_key"),
        ("aws_session_token",),
        for_s3=True,
    ),
    _Kind("a token", ("token",), (), for_s3=False),
    _Kind("user name and password", ("username", "password"), (), for_s3=False),
)


def credential_problems(request: TrainRequest) -> list[Problem]:
    """Every credential that is incomplete, contradicts another, or can't be sent."""
    problems = [
        p for path, auth, scheme in _auths(request) for p in _auth_problems(path, auth, scheme)
    ]
    for path, secret in _header_values(request):
        if secret is not None and not _HEADER_SAFE.fullmatch(secret.reveal()):
            problems.append(
                Problem(
                    path=path,
                    code="invalid_format",
                    message="The value holds line breaks or characters that no HTTP header can carry.",
                )
            )
    return problems


def unused_credentials(request: TrainRequest) -> list[Ignored]:
    """Credentials that nothing will ask for."""
    ignored = [
        Ignored(path=path, reason="files are read and written without credentials")
        for path, auth, scheme in _auths(request)
        if scheme == "file" and auth != Auth()
    ]
    callbacks = request.callbacks
    if callbacks is not None and callbacks.webhook_url is None and callbacks.auth_header:
        ignored.append(Ignored(path="$.callbacks.auth_header", reason="there is no webhook_url"))
    return ignored


def credential_notes(request: TrainRequest, storage: StoragePolicy) -> list[str]:
    """What will be missing although it may be left out."""
    auth, output = request.artifacts.auth, request.artifacts.output_uri
    brings_keys = auth is not None and auth.aws_access_key_id is not None
    if storage.allow_ambient_credentials or brings_keys or scheme_of(output) != "s3":
        return []
    told = (
        "The gateway will not be able to read the results: `artifacts.auth` holds no AWS keys, and the operator lends "
        "no identity (storage.allow_ambient_credentials)."
    )
    return [told]


def _auths(request: TrainRequest) -> Iterator[tuple[str, Auth, str]]:
    """JSON path, credentials, and the scheme that they are for (`hub` for data sets of the hub)."""
    for index, dataset in enumerate(request.datasets):
        if dataset.auth is not None:
            plain = "hub" if dataset.format == "hf" else "file"
            yield f"$.datasets[{index}].auth", dataset.auth, scheme_of(dataset.source) or plain
    artifacts = request.artifacts
    if artifacts.auth is not None:
        yield "$.artifacts.auth", artifacts.auth, scheme_of(artifacts.output_uri) or "file"


def _auth_problems(path: str, auth: Auth, scheme: str) -> Iterator[Problem]:
    kinds = [kind for kind in _KINDS if kind.given(auth)]
    if len(kinds) > 1:
        names = " and ".join(kind.name for kind in kinds)
        yield Problem(
            path=path,
            code="conflicting_fields",
            message=f"Give one kind of credentials, not {names}.",
        )
        return
    for kind in kinds:
        for field in kind.required:
            if getattr(auth, field) is None:
                yield Problem(
                    path=f"{path}.{field}",
                    code="missing_field",
                    message=f"The credentials are incomplete without `{field}`.",
                )
        if scheme == "s3" and not kind.for_s3:
            yield Problem(
                path=path,
                code="not_supported",
                message=f"s3:// takes a role or AWS keys, not {kind.name}.",
            )
        if scheme in {"http", "https"} and kind.for_s3:
            yield Problem(
                path=path,
                code="not_supported",
                message=f"{scheme}:// takes a token, or user name and password, not {kind.name}.",
            )


def _header_values(request: TrainRequest) -> Iterator[tuple[str, Secret | None]]:
    yield "$.base_model.auth_token", request.base_model.auth_token
    yield "$.base_model.huggingface_token", request.base_model.huggingface_token
    for path, auth, _ in _auths(request):
        yield f"{path}.token", auth.token
        yield f"{path}.aws_access_key_id", auth.aws_access_key_id
        yield f"{path}.aws_session_token", auth.aws_session_token
    if request.callbacks is not None:
        yield "$.callbacks.auth_header", request.callbacks.auth_header
