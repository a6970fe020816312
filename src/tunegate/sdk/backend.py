"""`BackendPlugin`: what runs. A backend turns a request into a container spec; it never names a place and never acts."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from tunegate.contract.base import Strict, Wire
from tunegate.contract.container import ContainerSpec
from tunegate.contract.problems import Ignored, Problem
from tunegate.contract.request import TrainRequest
from tunegate.contract.training import StoragePolicy


class NoOptions(Strict):
    """The options of a backend that takes none."""


class BuildContext(Wire):
    """What the gateway knows and the request does not say. The two folders are the job's own and end in a slash."""

    job_id: str
    output_uri: str
    log_uri: str | None
    storage: StoragePolicy
    trainer_image: str = "tunegate/trainer:latest"
    allow_pickle: bool = False
    trainable_layers_advisory: bool = False
    labels: dict[str, str] = {}


class Review(Wire):
    """What a backend says of a job before anything runs: all problems, fields without effect, notes."""

    problems: list[Problem] = []
    ignored: list[Ignored] = []
    notes: list[str] = []


OptionsT = TypeVar("OptionsT", bound=msgspec.Struct)


class BackendPlugin(ABC, Generic[OptionsT]):
    """Subclass, name it in the entry-point group `tunegate.backends`, done. Both methods are pure."""

    api_version: ClassVar[int] = 1
    """The plugin API that it was written for (`tunegate.sdk.versions`): a gateway refuses what it can't speak."""
    name: ClassVar[str]
    """As clients write it in `backend` and in the path: lower case, digits, hyphens."""
    description: ClassVar[str] = ""
    methods: ClassVar[frozenset[str]]
    """Values of `customization.method` that this backend serves."""
    providers: ClassVar[frozenset[str]] = frozenset({"huggingface", "meta", "nemo", "custom"})
    default_for: ClassVar[frozenset[str]] = frozenset()
    """Methods for which this backend is taken even if others serve them too."""
    options_type: type[OptionsT]
    """The keys of `extra_parameters` that this backend takes (a Strict Struct); the gateway decodes them."""

    @abstractmethod
    def review(self, job: TrainRequest, options: OptionsT, context: BuildContext) -> Review:
        """Everything that is wrong with the job for this backend, at once. Called before `build`."""

    @abstractmethod
    def build(self, job: TrainRequest, options: OptionsT, context: BuildContext) -> ContainerSpec:
        """The container spec of a job whose review found no problem. Never reads or writes a secret."""


AnyBackend = BackendPlugin[Any]
