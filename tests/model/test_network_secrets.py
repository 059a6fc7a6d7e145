"""A pre-shared key in the network config: shown to nobody, whatever the config looks like."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from flanpy.errors import ConfigError
from flanpy.model.network.config import parse_network_config, without_secrets

PSK = b64encode(bytes(range(32))).decode()


@pytest.mark.parametrize("name", ["PSK", "psk", "Psk"])
def test_text_for_people_has_the_key_masked_and_all_else_as_it_was(name: str) -> None:
    document = {"Network": "10.50.0.0/16", "Backend": {"Type": "wireguard", name: PSK, "ListenPort": 7}}
    shown = without_secrets(json.dumps(document))
    assert PSK not in shown
    assert json.loads(shown)["Backend"] == {"Type": "wireguard", name: "********", "ListenPort": 7}
    assert parse_network_config(json.dumps(document)).backend_options["psk"] == PSK


@pytest.mark.parametrize(
    "text", ['{"Network": "10.50.0.0/16"}', '{"Backend": {"Type": "vxlan"}}', "no json", "[]", "7"]
)
def test_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.parametrize("backend", [{"PSK": PSK}, {"Type": 7, "PSK": PSK}, {"Type": "wiregard", "PSK": PSK}])
def test_refusal_of_a_config_does_not_show_it(backend: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_network_config(json.dumps({"Network": "10.50.0.0/16", "Backend": backend}))
    assert PSK not in str(raised.value)
