"""`Token`: the JWT for slurmrestd, fetched anew before it expires."""

import asyncio
import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tunegate.contract.secret import Secret
from tunegate.launchers.slurm.process import run_command
from tunegate.launchers.slurm.settings import SlurmSettings
from tunegate.sdk.clock import Clock
from tunegate.sdk.launcher import EngineUnavailable

EARLY_S = 120.0
"""A token that lives shorter than this is fetched anew."""
UNKNOWN_LIFE_S = 300.0
"""For tokens that don't say when they expire."""
_PREFIX = "SLURM_JWT="


class Token:
    """From `jwt_command` or `jwt_file`; None where neither is set: slurmrestd by a local socket needs none."""

    def __init__(
        self, settings: SlurmSettings, clock: Clock, env: Mapping[str, str] = os.environ
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._env = env
        self._token: Secret | None = None
        self._fresh_until_s = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> Secret | None:
        """Raises EngineUnavailable where no token can be had."""
        if self._settings.jwt_command is None and self._settings.jwt_file is None:
            return None
        async with self._lock:
            now_s = self._clock.now_ms() / 1000
            if self._token is None or now_s >= self._fresh_until_s:
                token = await self._fetch()
                self._fresh_until_s = fresh_until_s(token, now_s)
                self._token = Secret(token)
            return self._token

    def forget(self) -> None:
        """Slurmrestd refused it."""
        self._token = None

    async def _fetch(self) -> str:
        command = self._settings.jwt_command
        if command is not None:
            done = await run_command(command, self._command_env(), self._settings.timeout_s)
            text = done.out if done.code == 0 else ""
        else:
            try:
                text = await asyncio.to_thread(Path(self._settings.jwt_file or "").read_text)
            except OSError as error:
                raise EngineUnavailable(f"jwt_file can't be read: {error.strerror}") from error
        lines = text.strip().splitlines()
        token = lines[-1].strip().removeprefix(_PREFIX) if lines else ""
        if token.count(".") != 2:
            raise EngineUnavailable("no token for slurmrestd could be had")
        return token

    def _command_env(self) -> dict[str, str]:
        kept = {n: self._env[n] for n in ("HOME", "PATH", "SLURM_CONF", "USER") if n in self._env}
        conf = self._settings.slurm_conf
        return kept | ({"SLURM_CONF": conf} if conf else {})


def fresh_until_s(token: str, now_s: float) -> float:
    """When it should be replaced: EARLY_S before its end, half way through one that lives shorter than twice that."""
    expires_s = _expiry_s(token)
    if expires_s is None:
        return now_s + UNKNOWN_LIFE_S
    life_s = max(0.0, expires_s - now_s)
    return expires_s - min(EARLY_S, life_s / 2)


def _expiry_s(token: str) -> float | None:
    claims = token.split(".")[1]
    try:
        text = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))
        expires = msgspec.json.decode(text).get("exp")
    except (binascii.Error, msgspec.MsgspecError, ValueError, AttributeError):
        return None
    return float(expires) if isinstance(expires, int | float) else None
