"""The key is shown nowhere."""

import copy
import pickle

import pytest

from sluicegate import ConfigurationError
from sluicegate.flashcards._secrets import ApiKey


def test_a_key_shows_itself_only_when_asked():
    key = ApiKey(" sk-secret\n")
    assert "secret" not in f"{key!r} {key} {key:>20} {[key]}"
    assert key.reveal() == "sk-secret"


def test_a_key_is_not_pickled():
    with pytest.raises(TypeError):
        pickle.dumps(ApiKey("sk-secret"))
    with pytest.raises(TypeError):
        copy.copy(ApiKey("sk-secret"))


@pytest.mark.parametrize("text", ["", "  ", "sk secret", "sk\nsecret", "sk-sécret", "sk-\x00"])
def test_a_key_that_could_not_travel_is_refused_and_not_repeated(text):
    with pytest.raises(ConfigurationError) as caught:
        ApiKey(text)
    assert caught.value.field == "api_key"
    assert not text.strip() or text not in f"{caught.value!r} {caught.value.value!r}"
