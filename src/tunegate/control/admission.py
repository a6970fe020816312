"""Whether a job may run: everything that is wrong with it at once, and what would run. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from tunegate.contract.container import ContainerSpec
from tunegate.contract.decode import collect
from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.request import TrainRequest
from tunegate.contract.training import StoragePolicy
from tunegate.control.addresses import AddressRules, CheckUrl, address_problems
from tunegate.control.credentials import (
    credential_notes,
    credential_problems,
    unused_credentials,
)
from tunegate.control.options import ROOT, route
from tunegate.control.principal import Principal
from tunegate.control.settings import TrainerSettings
from tunegate.sdk.addresses import job_folder
from tunegate.sdk.backend import AnyBackend, BuildContext, Review
from tunegate.sdk.launcher import Launcher


@dataclass(frozen=True, slots=True)
class AdmissionRules:
    """What the operator and the token allow."""

    principal: Principal
    trainer: TrainerSettings
    storage: StoragePolicy
    check_url: CheckUrl


@dataclass(frozen=True, slots=True)
class Admission:
    """The verdict. `container` is there when there is no problem."""

    output_uri: str
    log_uri: str | None
    problems: list[Problem]
    ignored: list[Ignored]
    notes: list[str]
    launcher_options: dict[str, Any]
    container: ContainerSpec | None


def admit(
    request: TrainRequest,
    backend: AnyBackend | None,
    launcher: Launcher | None,
    rules: AdmissionRules,
) -> Admission:
    """Review a job. Without a backend or launcher (the caller says why) the rest is looked at all the same."""
    findings = [_own_findings(request, backend, rules)]
    launcher_options: dict[str, Any] = {}
    container: ContainerSpec | None = None
    context = _build_context(request, rules)
    if backend is not None:
        launcher_type = launcher.options_type if launcher is not None else None
        routed = route(request.extra_parameters, backend.options_type, launcher_type)
        launcher_options = routed.launcher_options
        options = routed.options or _defaults(backend.options_type)
        findings.append(Review(problems=routed.problems, ignored=routed.ignored))
        if options is not None:
            findings.append(backend.review(request, options, context))
        if options is not None and not findings[-1].problems:
            container = backend.build(request, options, context)
            findings.append(_resource_findings(container, launcher, launcher_options, rules))
    problems = [problem for found in findings for problem in found.problems]
    return Admission(
        output_uri=context.output_uri,
        log_uri=context.log_uri,
        problems=problems,
        ignored=_once_each(ignored for found in reversed(findings) for ignored in found.ignored),
        notes=[note for found in findings for note in found.notes],
        launcher_options=launcher_options,
        container=None if problems else container,
    )


def gpus_of(container: ContainerSpec) -> int:
    """GPUs over all nodes."""
    return container.resources.gpus * container.resources.nodes


def _once_each(ignored: Iterable[Ignored]) -> list[Ignored]:
    """One entry per path: the plugins, who come first, know the better reason."""
    by_path: dict[str, Ignored] = {}
    for entry in ignored:
        by_path.setdefault(entry.path, entry)
    return list(by_path.values())


def _own_findings(
    request: TrainRequest, backend: AnyBackend | None, rules: AdmissionRules
) -> Review:
    addresses = AddressRules(rules.storage, rules.principal.uri_prefixes, rules.check_url)
    problems = [*address_problems(request, addresses), *credential_problems(request)]
    allowed = rules.principal.backends
    if backend is not None and allowed is not None and backend.name not in allowed:
        problems.append(
            Problem(
                path="$.backend",
                code="not_allowed",
                message=f"The token does not allow the backend {backend.name!r}.",
            )
        )
    return Review(
        problems=problems,
        ignored=unused_credentials(request),
        notes=credential_notes(request, rules.storage),
    )


def _defaults(options_type: type[msgspec.Struct]) -> msgspec.Struct | None:
    """Stand in for options that don't fit, so that a review can still find what else is wrong."""
    options, _ = collect(options_type, {}, ROOT)
    return options


def _build_context(request: TrainRequest, rules: AdmissionRules) -> BuildContext:
    artifacts = request.artifacts
    return BuildContext(
        job_id=request.job_id,
        output_uri=job_folder(artifacts.output_uri, request.job_id),
        log_uri=artifacts.log_uri and job_folder(artifacts.log_uri, request.job_id),
        storage=rules.storage,
        trainer_image=rules.trainer.image,
        allow_pickle=rules.trainer.allow_pickle,
        trainable_layers_advisory=rules.trainer.trainable_layers_advisory,
        labels={"tunegate.job-id": request.job_id, "tunegate.tenant": rules.principal.name},
    )


def _resource_findings(
    container: ContainerSpec,
    launcher: Launcher | None,
    launcher_options: dict[str, Any],
    rules: AdmissionRules,
) -> Review:
    problems, ignored = _gpu_problems(container, rules), list[Ignored]()
    if launcher is not None:
        lacks, ignored = launcher.review(container, launcher_options)
        problems = [*problems, *lacks]
    return Review(problems=problems, ignored=ignored)


def _gpu_problems(container: ContainerSpec, rules: AdmissionRules) -> list[Problem]:
    allowed = rules.principal.max_gpus
    asked = gpus_of(container)
    if allowed is None or asked <= allowed:
        return []
    return [
        Problem(
            path="$.resources.gpus",
            code="not_allowed",
            message=f"The token may hold {allowed} GPUs at once, and this job asks for {asked}.",
        )
    ]
