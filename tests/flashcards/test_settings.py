"""Settings: where each comes from, and what is refused."""

import dataclasses
from pathlib import Path

import pytest

from sluicegate import ConfigurationError
from sluicegate.flashcards._setting_names import SETTINGS
from sluicegate.flashcards._settings import DEFAULT_BASE_URL, DEFAULT_RATE, EMBEDDED_RATE, Settings


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('rate = "1/s"\nconcurrency = 3\ntimeout = 7\n')
    return path


def test_flags_go_before_environment_before_toml_before_defaults(config):
    environment = {"FLASHCARDS_RATE": "2/s", "FLASHCARDS_CONCURRENCY": "4"}
    settings = Settings.load({"rate": "3/s", "timeout": None}, environment, config)
    assert (settings.rate, settings.concurrency, settings.timeout) == ("3/s", 4, 7.0)
    assert settings.connect_timeout == 5.0
    assert settings.sources == {
        "rate": "--rate",
        "concurrency": "FLASHCARDS_CONCURRENCY",
        "timeout": f"timeout in {config}",
    }


def test_without_key_and_base_url_the_embedded_server_and_its_rate_are_used():
    settings = Settings.load({}, {})
    assert settings.embedded
    assert settings.effective_rate == EMBEDDED_RATE


@pytest.mark.parametrize("variable", ["OPENROUTER_API_KEY", "FLASHCARDS_API_KEY"])
def test_a_key_alone_means_the_paid_api_and_its_rate(variable):
    settings = Settings.load({}, {variable: "sk-secret"})
    assert not settings.embedded
    assert settings.effective_rate == DEFAULT_RATE
    assert settings.api_key.reveal() == "sk-secret"


def test_the_applications_own_key_variable_goes_first():
    settings = Settings.load({}, {"OPENROUTER_API_KEY": "sk-theirs", "FLASHCARDS_API_KEY": "sk-ours"})
    assert settings.api_key.reveal() == "sk-ours"


def test_a_base_url_alone_sends_no_key():
    settings = Settings.load({"base_url": "http://127.0.0.1:8080/v1/"}, {})
    assert not settings.embedded
    assert settings.base_url == "http://127.0.0.1:8080/v1"
    assert settings.api_key is None


def test_the_paid_api_is_not_asked_without_a_key():
    with pytest.raises(ConfigurationError, match="needs a key") as caught:
        Settings.load({"base_url": DEFAULT_BASE_URL + "/"}, {"OPENROUTER_API_KEY": "  "})
    assert caught.value.field == "api_key"


def test_a_bare_inf_lifts_the_limit():
    assert Settings.load({"rate": "inf"}, {}).rate == "inf/s"


def test_the_key_is_no_setting_of_the_file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('api_key = "sk-secret"\n')
    with pytest.raises(ConfigurationError) as caught:
        Settings.load({}, {}, path)
    assert "sk-secret" not in f"{caught.value} {caught.value.value!r}"


def test_settings_do_not_show_the_key():
    assert "secret" not in repr(Settings.load({}, {"FLASHCARDS_API_KEY": "sk-secret"}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", "fast"),
        ("stage1_rate", "0.0.1/s"),
        ("concurrency", "0"),
        ("concurrency", "1001"),
        ("concurrency", "many"),
        ("timeout", "0"),
        ("timeout", "nan"),
        ("timeout", "inf"),
        ("connect_timeout", "-1"),
        ("max_attempts", "0"),
        ("base_url", "openrouter.ai"),
        ("base_url", "ftp://host"),
        ("base_url", "https://"),
        ("base_url", "https://user:password@host"),
        ("base_url", "https://host/?key=1"),
        ("base_url", "https://host:99999"),
        ("http_referer", "a\r\nb"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_the_name_of_its_source(name, value):
    variable = f"FLASHCARDS_{name.upper()}"
    with pytest.raises(ConfigurationError) as caught:
        Settings.load({}, {variable: value})
    assert caught.value.field == name
    assert str(caught.value).startswith(f"{variable}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["concurrency = true", 'concurrency = "3.5"', "timeout = [1]", "rate = 60"])
def test_a_value_of_the_wrong_kind_is_refused_by_the_name_of_the_file(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"config\.toml: "):
        Settings.load({}, {}, path)


@pytest.mark.parametrize("content", [b"rate = ", b"\xff", b"speed = 1"])
def test_a_file_that_is_no_settings_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        Settings.load({}, {}, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no such file"):
        Settings.load({}, {}, tmp_path / "config.toml")


EVERY = {
    "base_url": ("http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1"),
    "rate": ("9/s", "9/s"),
    "stage1_rate": ("8/s", "8/s"),
    "stage2_rate": ("inf", "inf/s"),
    "tokens_rate": ("1000/minute", "1000/minute"),
    "token_budget": ("5000", 5000),
    "concurrency": ("7", 7),
    "timeout": ("6.5", 6.5),
    "connect_timeout": ("2", 2.0),
    "max_attempts": ("4", 4),
    "http_referer": ("https://example.org", "https://example.org"),
    "x_title": ("cards", "cards"),
    "prompt_price": ("0.15", 0.15),
    "completion_price": ("0", 0.0),
    "cache": ("off", False),
    "cache_dir": ("/var/cache/cards", Path("/var/cache/cards")),
    "cache_ttl": ("60", 60.0),
    "cache_jitter": ("0", 0.0),
    "cache_size": ("2K", 2048),
    "database_url": ("sqlite:///cards.db", "sqlite:///cards.db"),
    "pool_size": ("3", 3),
    "pool_overflow": ("0", 0),
    "pool_timeout": ("1.5", 1.5),
    "pool_recycle": ("-1", -1.0),
    "pool_pre_ping": ("no", False),
    "pool_logging": ("yes", True),
    "telemetry": ("true", True),
    "log_level": ("DEBUG", "debug"),
    "share_calls": ("0", False),
    "wait_for_breaker": ("false", False),
    "degrade": ("no", False),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_has_one_name_in_the_environment_in_toml_and_as_a_flag(name, tmp_path):
    text, value = EVERY[name]
    path = tmp_path / "config.toml"
    path.write_text(f'{name} = "{text}"\n')
    for settings in (
        Settings.load({name: text}, {}),
        Settings.load({}, {f"FLASHCARDS_{name.upper()}": text}),
        Settings.load({}, {}, path),
    ):
        assert getattr(settings, name) == value
        assert name in settings.sources


def test_every_field_of_the_settings_has_its_name_in_the_table():
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert fields == {*SETTINGS, "api_key", "sources"}


def test_what_an_error_says_of_a_database_url_is_not_the_url():
    with pytest.raises(ConfigurationError) as caught:
        Settings.load({"database_url": "me:password@host"}, {})
    assert "password" not in f"{caught.value} {caught.value.value!r}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cache_jitter", "1.5"),
        ("cache_jitter", "nan"),
        ("cache_size", "0"),
        ("cache_size", "12Q"),
        ("cache_dir", " "),
        ("telemetry", "perhaps"),
        ("log_level", "loud"),
        ("prompt_price", "-1"),
        ("pool_recycle", "never"),
        ("token_budget", "1.5"),
    ],
)
def test_a_refusal_names_the_value_and_what_is_wanted(name, value):
    with pytest.raises(ConfigurationError, match=f"--{name.replace('_', '-')}: .* wanted, not '{value}'"):
        Settings.load({name: value}, {})


def test_the_list_of_settings_in_the_reference_is_complete():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "flashcards.md").read_text()
    assert [name for name in SETTINGS if f"| `{name}` |" not in page] == []
