from pathlib import Path

import pytest

from tunegate.client.errors import ProfileUnusable
from tunegate.client.profile import choose, profile_file, save


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def test_what_is_nearer_wins(environment: dict[str, str]) -> None:
    assert choose(environment=environment).url == "http://127.0.0.1:8080"
    save(profile_file(environment), "https://saved", "saved-token")
    saved = choose(environment=environment)
    assert (saved.url, saved.token and saved.token.reveal()) == ("https://saved", "saved-token")
    environment |= {"TUNEGATE_URL": "https://told/", "TUNEGATE_TOKEN": "t"}
    assert choose(environment=environment).url == "https://told"
    assert choose("https://given", environment=environment).url == "https://given"


def test_a_saved_token_goes_to_its_own_gateway_only(environment: dict[str, str]) -> None:
    save(profile_file(environment), "https://saved", "saved-token")
    assert choose("https://other", environment=environment).token is None
    assert choose("https://saved/", environment=environment).token is not None


def test_the_file_is_private(environment: dict[str, str]) -> None:
    file = profile_file(environment)
    save(file, "https://saved", "saved-token")
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(ProfileUnusable, match="chmod 600"):
        choose(environment=environment)


@pytest.mark.parametrize(
    "url", ["ftp://h", "nohost", "https://u:p@h", "https://h?token=x", "http://[::1"]
)
def test_addresses_that_are_none(url: str, environment: dict[str, str]) -> None:
    with pytest.raises(ProfileUnusable) as refused:
        choose(url, environment=environment)
    assert url not in str(refused.value)
