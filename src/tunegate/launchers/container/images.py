"""Fetching images: in the background, once for all runs that want it, its trouble in words."""

import asyncio
import base64
import re
from pathlib import Path
from typing import Any

import msgspec

from tunegate.contract.base import Wire
from tunegate.launchers.container.client import ApiError, Engine
from tunegate.launchers.container.settings import ContainerSettings
from tunegate.sdk.clock import Clock
from tunegate.sdk.launcher import EngineUnavailable

AGAIN_S = 20.0
HUB = "docker.io"
_HUB_KEYS = ("https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io")
_FOR_GOOD = re.compile(
    r"manifest.*unknown|not found|denied|unauthorized|does not exist|authentication required|invalid reference"
    r"|no matching manifest|short-name|invalid (image|repository) name",
    re.IGNORECASE,
)


class ImageState(Wire):
    """`reason` says why it is not there; with `failed` trying again is no use."""

    here: bool
    reason: str = ""
    failed: bool = False


class Images:
    """Asked again and again by the runs that wait."""

    def __init__(self, engine: Engine, settings: ContainerSettings, clock: Clock) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._pulls: dict[str, asyncio.Task[None]] = {}
        self._trouble: dict[str, tuple[float, float, str]] = {}
        self._fresh: set[str] = set()

    async def close(self) -> None:
        for task in self._pulls.values():
            task.cancel()
        await asyncio.gather(*self._pulls.values(), return_exceptions=True)

    async def state(self, image: str, run: str) -> ImageState:
        """Whether a run's image is here; if not, it is on its way after this. Raises EngineUnavailable."""
        policy, wanted = self._settings.pull, f"{run}:{image}"
        if image not in self._pulls and (policy != "always" or wanted in self._fresh):
            if await self._engine.has_image(image):
                self._trouble.pop(image, None)
                return ImageState(here=True)
            if policy == "never":
                reason = f"the image {image} is not here, and launchers.container.pull is never"
                return ImageState(here=False, reason=reason, failed=True)
        return await self._pulled(image, wanted)

    async def _pulled(self, image: str, wanted: str) -> ImageState:
        task = self._pulls.get(image)
        if task is None:
            since_s, last_s, words = self._trouble.get(image, (0.0, float("-inf"), ""))
            if self._clock.monotonic_s() - last_s < AGAIN_S:
                return self._failed(image, since_s, words)
            self._pulls[image] = asyncio.create_task(self._pull(image))
            return ImageState(here=False, reason=f"the image {image} is being pulled")
        if not task.done():
            return ImageState(here=False, reason=f"the image {image} is being pulled")
        del self._pulls[image]
        try:
            task.result()
        except (ApiError, EngineUnavailable) as error:
            now_s = self._clock.monotonic_s()
            since_s = self._trouble.get(image, (now_s, 0.0, ""))[0]
            self._trouble[image] = (since_s, now_s, str(error))
            return self._failed(image, since_s, str(error))
        self._trouble.pop(image, None)
        self._fresh.add(wanted)
        return ImageState(here=await self._engine.has_image(image))

    async def _pull(self, image: str) -> None:
        name, tag = split(image)
        await self._engine.pull(name, tag, await asyncio.to_thread(self._auth, name))

    def _failed(self, image: str, since_s: float, words: str) -> ImageState:
        late = self._clock.monotonic_s() - since_s >= self._settings.start_deadline_s
        reason = f"the image {image} can't be pulled: {words}"
        return ImageState(here=False, reason=reason, failed=late or bool(_FOR_GOOD.search(words)))

    def _auth(self, name: str) -> str | None:
        """The registry's credentials, as the engine wants them."""
        if self._settings.registry_auth is None:
            return None
        try:
            known = msgspec.json.decode(
                Path(self._settings.registry_auth).expanduser().read_bytes()
            )
        except (OSError, msgspec.MsgspecError):
            raise EngineUnavailable("launchers.container.registry_auth can't be read") from None
        return registry_auth(name, known.get("auths", {}))


def split(image: str) -> tuple[str, str]:
    """Name and tag, or name and digest."""
    if "@" in image:
        name, _, digest = image.partition("@")
        return name, digest
    head, _, tail = image.rpartition(":")
    return (head, tail) if head and "/" not in tail else (image, "latest")


def registry_of(name: str) -> str:
    """`ghcr.io` of `ghcr.io/a/b`; the hub's of `a/b`."""
    first, _, rest = name.partition("/")
    return first if rest and ("." in first or ":" in first or first == "localhost") else HUB


def registry_auth(name: str, auths: dict[str, Any]) -> str | None:
    """The header that carries what `auths` of a config.json has for an image's registry."""
    registry = registry_of(name)
    keys = _HUB_KEYS if registry == HUB else (registry, f"https://{registry}")
    entry = next((auths[key] for key in keys if key in auths), None)
    if not entry or not entry.get("auth"):
        return None
    user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    told = {"username": user, "password": password, "serveraddress": registry}
    return base64.urlsafe_b64encode(msgspec.json.encode(told)).decode()
