"""All settings of a gateway: one TOML file, environment variables over it, every problem reported at once.

`config/gateway.toml` shows each with its default and the docstring under it here; a test holds the two together.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
from msgspec import inspect

from tunegate.contract.base import Strict
from tunegate.contract.decode import collect
from tunegate.contract.request import Name
from tunegate.contract.secret import REDACTED, Secret, decode_hook
from tunegate.contract.text import from_text
from tunegate.contract.training import StoragePolicy
from tunegate.control.principal import Principal
from tunegate.control.settings import (
    ControlSettings,
    Count,
    KeySettings,
    PluginSettings,
    RetentionSettings,
    StoreSettings,
    TrainerSettings,
    WebhookSettings,
)
from tunegate.egress.policy import EgressPolicy
from tunegate.http.oidc import OidcSettings
from tunegate.http.settings import ServerSettings

PREFIX = "TUNEGATE_"
TOKEN_VARIABLE = "TRAINER_API_TOKEN"  # noqa: S105  its name, not its value
DEFAULT_STATE_DIR = "~/.local/state/tunegate"
_NOT_SETTINGS = frozenset({"TUNEGATE_CONFIG"})
_SHORT = {"TUNEGATE_DATABASE_URL": "TUNEGATE_STORE__URL"}
"""Variables with a name of their own."""


class SettingsError(Exception):
    """The settings can't be used. `problems` are sentences that name the setting, none holds a secret."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class TokenSettings(Strict):
    """A caller. Give the token itself, or better the variable or file that holds it."""

    name: Name
    """The tenant: its jobs are its own, no other token sees them."""
    token: Secret | None = None
    """The token in clear; then keep this file to yourself."""
    token_env: str | None = None
    """An environment variable that holds the token."""
    token_file: str | None = None
    """A file that holds the token, such as a mounted secret."""
    read_only: bool = False
    """May look, may not submit, cancel, retry or forget."""
    admin: bool = False
    """May make and revoke tokens, and read the audit log."""
    uri_prefixes: list[str] | None = None
    """Data, weights and results must lie below one of these (not set = anywhere)."""
    backends: list[str] | None = None
    """Backends that may be used (not set = any)."""
    launchers: list[str] | None = None
    """Launchers that may be used; a job that names none runs on the first that is there (not set = any)."""
    max_gpus: Count | None = None
    """GPUs that the tenant's running jobs together may hold; further jobs wait their turn (not set = no limit)."""
    max_jobs: Count | None = None
    """Unfinished jobs that the tenant may have at once (not set = no limit)."""


class AuthSettings(Strict):
    """Who may call. TRAINER_API_TOKEN in the environment adds a token named "default"."""

    tokens: list[TokenSettings] = []
    """Without any, the gateway listens on loopback only and lets everybody in."""
    required: bool = False
    """Let nobody in without a token, though none stands here: for tokens made with `tunegate token create`."""
    oidc: OidcSettings | None = None
    """An identity provider whose bearer tokens are taken besides."""


class Settings(Strict):
    """The gateway's settings. An environment variable TUNEGATE_SECTION__NAME wins over the file."""

    state_dir: str = DEFAULT_STATE_DIR
    """Where the gateway keeps its own files; TUNEGATE_STATE_DIR sets it too."""
    key_file: str | None = None
    """The keys that seal credentials (not set = tunegate.key in state_dir); back them up apart from the database."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much is logged."""
    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    store: StoreSettings = StoreSettings()
    control: ControlSettings = ControlSettings()
    keys: KeySettings = KeySettings()
    webhooks: WebhookSettings = WebhookSettings()
    retention: RetentionSettings = RetentionSettings()
    trainer: TrainerSettings = TrainerSettings()
    egress: EgressPolicy = EgressPolicy()
    storage: StoragePolicy = StoragePolicy()
    plugins: PluginSettings = PluginSettings()
    launchers: dict[str, dict[str, Any]] = {}
    """One table per launcher; each launcher says what may stand in it."""

    @property
    def state_path(self) -> Path:
        return Path(self.state_dir).expanduser()

    @property
    def key_path(self) -> Path:
        return (
            Path(self.key_file).expanduser() if self.key_file else self.state_path / "tunegate.key"
        )

    @property
    def store_path(self) -> Path:
        path = self.store.path
        return Path(path).expanduser() if path else self.state_path / "tunegate.db"


Tokens = list[tuple[Secret, Principal]]


def load(
    file: Path | None,
    environment: Mapping[str, str],
    arguments: Mapping[str, Any] | None = None,
    *,
    to_serve: bool = True,
) -> tuple[Settings, Tokens]:
    """The settings and the tokens: a TOML file (None = none), the environment over it, and over that the command
    line's arguments for `server`. Whoever opens no door (not `to_serve`) needs no token for it. Raises SettingsError.
    """
    values = _read_toml(file) if file else {}
    problems = _overlay(values, environment)
    if arguments and isinstance(server := values.setdefault("server", {}), dict):
        cast("dict[str, Any]", server).update(arguments)
    settings, found = collect(Settings, values, "$")
    if settings is None:
        listed = [f"{p.path.removeprefix('$.')}: {p.message}" for p in found if p.path != "$"]
        raise SettingsError([*problems, *listed, *_refused_by_type(values)])
    tokens, wrong = _tokens(settings, environment)
    problems += wrong
    guarded = tokens or wrong or settings.auth.required or settings.auth.oidc
    if to_serve and not guarded and not is_loopback(settings.server.host):
        problems.append(
            f"server.host is not a loopback address and no token is configured: set {TOKEN_VARIABLE}, auth.tokens, "
            "auth.required or auth.oidc, or listen on 127.0.0.1"
        )
    if problems:
        raise SettingsError(problems)
    return settings, tokens


def settings_digest(settings: Settings) -> str:
    """SHA-256 of all settings but the secrets: whether two gateways, or two starts, had the same."""
    plain = msgspec.json.encode(settings, enc_hook=lambda _secret: REDACTED, order="sorted")
    return hashlib.sha256(plain).hexdigest()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise SettingsError([f"{file}: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"{file} is not TOML: {error}"]) from None


def _overlay(values: dict[str, Any], environment: Mapping[str, str]) -> list[str]:
    """Put TUNEGATE_SECTION__NAME over the file's values; unknown names are for the type's check to refuse."""
    problems: list[str] = []
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable in _NOT_SETTINGS:
            continue
        *sections, name = _SHORT.get(variable, variable).removeprefix(PREFIX).lower().split("__")
        if not sections and name not in Settings.__struct_fields__:
            continue  # a variable of something else
        table = values
        for section in sections:
            below = table.setdefault(section, {})
            if not isinstance(below, dict):
                problems.append(f"{variable}: {section} is no table in the file")
                break
            table = cast("dict[str, Any]", below)
        else:
            table[name] = from_text(_type_at((*sections, name)), text)
    return problems


def _type_at(path: tuple[str, ...]) -> inspect.Type:
    """The type of a setting; any where the path leads nowhere."""
    expected = inspect.type_info(Settings)
    for name in path:
        if isinstance(expected, inspect.StructType):
            fields = {field.name: field.type for field in expected.fields}
            expected = fields.get(name, inspect.AnyType())
        elif isinstance(expected, inspect.DictType):
            expected = expected.value_type
    return expected


def _refused_by_type(values: dict[str, Any]) -> list[str]:
    """What a settings type itself objects to, beyond the shape of its fields."""
    try:
        msgspec.convert(values, Settings, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, ValueError):
            return [str(error)]
    return []


def _tokens(settings: Settings, environment: Mapping[str, str]) -> tuple[Tokens, list[str]]:
    tokens: Tokens = []
    problems: list[str] = []
    for index, entry in enumerate(settings.auth.tokens):
        found = _token_of(entry, environment)
        if isinstance(found, str):
            problems.append(f"auth.tokens[{index}]: {found}")
        else:
            given = msgspec.structs.asdict(entry)
            given["token"] = f"configured:{entry.name}"
            limits = {name: given[name] for name in Principal.__struct_fields__}
            tokens.append((found, Principal(**limits)))
    if environment.get(TOKEN_VARIABLE):
        default = Principal(name="default", token=f"configured:{TOKEN_VARIABLE}")
        tokens.append((Secret(environment[TOKEN_VARIABLE]), default))
    names = [principal.name for _, principal in tokens]
    problems += [
        f"auth.tokens: {n!r} stands twice" for n in sorted({n for n in names if names.count(n) > 1})
    ]
    return tokens, problems


def _token_of(entry: TokenSettings, environment: Mapping[str, str]) -> Secret | str:
    """The token, or what is wrong."""
    given = [value for value in (entry.token, entry.token_env, entry.token_file) if value]
    if len(given) != 1:
        return "give one of token, token_env and token_file"
    if entry.token:
        return entry.token
    if entry.token_env:
        text = environment.get(entry.token_env, "")
        return Secret(text) if text else f"the variable {entry.token_env} is not set"
    try:
        text = Path(entry.token_file or "").expanduser().read_text().strip()
    except OSError as error:
        return f"{entry.token_file}: {error.strerror}"
    return Secret(text) if text else f"{entry.token_file} is empty"
