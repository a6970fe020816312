import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from tunegate.contract.secret import decode_hook
from tunegate.docs.attributes import attribute_docs
from tunegate.launchers.local.settings import LocalSettings
from tunegate.settings import Settings, SettingsError, TokenSettings, is_loopback, load


def problems_of(
    file: Path | None = None, arguments: dict[str, Any] | None = None, **environment: str
) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(file, environment, arguments)
    return caught.value.problems


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "gateway.toml"


def test_nothing_given_is_the_default_on_loopback() -> None:
    settings, tokens = load(None, {})
    assert settings == Settings()
    assert tokens == []


def test_the_file_is_read_and_the_environment_wins(toml: Path) -> None:
    toml.write_text(
        'state_dir = "/a"\n[server]\nport = 1\n[launchers.local]\ncpu_fallback = false\n'
    )
    settings, _ = load(
        toml,
        {
            "TUNEGATE_SERVER__PORT": "2",
            "TUNEGATE_STATE_DIR": "/b",
            "TUNEGATE_EGRESS__ALLOWED_PORTS": "80, 8080",
            "TUNEGATE_STORAGE__S3_ENDPOINT_URL": "http://s3",
            "TUNEGATE_LAUNCHERS__LOCAL__CPU_FALLBACK": "true",
            "TUNEGATE_CONFIG": "ignored",
            "TUNEGATE_RUN": "somebody else's",
            "PATH": "/bin",
        },
    )
    assert settings.server.port == 2
    assert settings.state_dir == "/b"
    assert list(settings.egress.allowed_ports) == [80, 8080]
    assert settings.storage.s3_endpoint_url == "http://s3"
    assert settings.launchers == {"local": {"cpu_fallback": True}}


def test_the_command_line_wins_over_all(toml: Path) -> None:
    toml.write_text("[server]\nport = 1\n")
    settings, _ = load(toml, {"TUNEGATE_SERVER__PORT": "2"}, {"port": 3})
    assert settings.server.port == 3


def test_all_problems_are_reported_at_once(toml: Path) -> None:
    toml.write_text('[server]\nprt = 1\nhost = 5\n[control]\nworkers = "8"\n[nope]\na = 1\n')
    found = problems_of(
        toml, TUNEGATE_CONTROL__LEASE_S="soon", TUNEGATE_EGRESS__ALLOWED_NETWORKS="x"
    )
    assert [problem.split(":")[0] for problem in found[:5]] == [
        "server.host",
        "server.prt",
        "control.workers",
        "control.lease_s",
        "nope",
    ]
    assert "did you mean `port`?" in found[1]


def test_what_a_settings_type_itself_refuses_is_said() -> None:
    (problem,) = problems_of(TUNEGATE_EGRESS__ALLOWED_NETWORKS="10.0.0.0/33")
    assert "10.0.0.0/33" in problem


def test_files_that_can_not_be_read(toml: Path) -> None:
    assert "No such file" in problems_of(toml)[0]
    toml.write_text("a = ")
    assert "not TOML" in problems_of(toml)[0]
    toml.write_bytes(b"\xff")
    assert "not TOML" in problems_of(toml)[0]


def test_a_variable_below_a_value_that_is_no_table(toml: Path) -> None:
    toml.write_text("server = 1\n")
    assert any("server is no table" in p for p in problems_of(toml, TUNEGATE_SERVER__PORT="1"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway.example"])
def test_without_a_token_only_loopback(host: str) -> None:
    (problem,) = problems_of(arguments={"host": host})
    assert "no token is configured" in problem
    settings, tokens = load(None, {"TRAINER_API_TOKEN": "t"}, {"host": host})
    assert settings.server.host == host
    assert [(t.reveal(), p.name) for t, p in tokens] == [("t", "default")]


def test_loopback_addresses() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "example.com")))


def test_tokens_come_from_text_variables_and_files(toml: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    toml.write_text(f"""
        [[auth.tokens]]
        name = "a"
        token = "from-text"
        read_only = true
        [[auth.tokens]]
        name = "b"
        token_env = "B_TOKEN"
        max_gpus = 4
        [[auth.tokens]]
        name = "c"
        token_file = "{tmp_path / "token"}"
        uri_prefixes = ["s3://b/"]
        backends = ["qlora"]
    """)
    _, tokens = load(toml, {"B_TOKEN": "from-variable"})
    assert [secret.reveal() for secret, _ in tokens] == ["from-text", "from-variable", "from-file"]
    a, b, c = (principal for _, principal in tokens)
    assert (a.name, a.read_only, b.max_gpus, c.uri_prefixes, c.backends) == (
        "a",
        True,
        4,
        ["s3://b/"],
        ["qlora"],
    )


def test_every_bad_token_is_named_and_none_is_shown(toml: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    toml.write_text(f"""
        auth.tokens = [
            {{name = "none"}},
            {{name = "two", token = "canary", token_env = "X"}},
            {{name = "unset", token_env = "X"}},
            {{name = "gone", token_file = "/nope"}},
            {{name = "empty", token_file = "{tmp_path / "empty"}"}},
            {{name = "default", token = "canary"}},
        ]
    """)
    found = problems_of(toml, TRAINER_API_TOKEN="canary")
    assert len(found) == 6
    assert "canary" not in str(found)


def test_a_token_is_never_shown() -> None:
    shown = msgspec.convert({"name": "a", "token": "canary"}, TokenSettings, dec_hook=decode_hook)
    assert "canary" not in repr(shown)


def test_paths_follow_the_state_folder() -> None:
    settings, _ = load(None, {"TUNEGATE_STATE_DIR": "/s"})
    assert (str(settings.store_path), str(settings.key_path)) == (
        "/s/tunegate.db",
        "/s/tunegate.key",
    )
    settings, _ = load(None, {"TUNEGATE_STORE__PATH": "/d/x.db", "TUNEGATE_KEY_FILE": "/k"})
    assert (str(settings.store_path), str(settings.key_path)) == ("/d/x.db", "/k")


def test_every_setting_says_what_it_is_for() -> None:
    tables: list[type[msgspec.Struct]] = [Settings, TokenSettings, LocalSettings]
    tables += [
        type(f.default) for f in structs.fields(Settings) if isinstance(f.default, msgspec.Struct)
    ]
    for table in tables:
        sections = {f.name for f in structs.fields(table) if isinstance(f.default, msgspec.Struct)}
        missing = set(table.__struct_fields__) - sections - set(attribute_docs(table))
        assert not missing, f"{table.__name__}: {missing}"


def test_the_documented_file_holds_the_defaults() -> None:
    file = Path(__file__).parents[2] / "config/gateway.toml"
    settings, _ = load(file, {})
    assert settings == Settings()
    assert set(tomllib.loads(file.read_text())) >= {
        "server",
        "control",
        "webhooks",
        "storage",
        "egress",
    }
