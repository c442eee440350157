"""`kedge openrc`: a clouds.yaml that says where both services are, whatever a password is made of."""

from importlib import import_module
from typing import Any

import pytest

from .cli_world import invoke

yaml: Any = import_module("yaml")  # which is there with openstacksdk, and has no types


def test_nobody_is_asked_on_loopback() -> None:
    said = invoke("--url", "http://127.0.0.1:9696", "openrc").out
    assert yaml.safe_load(said) == {
        "clouds": {
            "kedge": {
                "auth_type": "none",
                "auth": {"endpoint": "http://127.0.0.1:9696/network"},
                "network_endpoint_override": "http://127.0.0.1:9696/network",
                "compute_endpoint_override": "http://127.0.0.1:9696/compute/v2.1",
                "identity_api_version": "3",
                "identity_endpoint_override": "http://127.0.0.1:9696/network",
            }
        }
    }


def test_who_calls_is_in_it() -> None:
    url = "https://r%40t:a%22b%5Cc%3A%23%20d@[2001:db8::1]:9696/"
    cloud = yaml.safe_load(invoke("--url", url, "openrc", "--cloud", "my: cloud").out)["clouds"]["my: cloud"]
    assert cloud["auth_type"] == "http_basic"
    assert cloud["auth"] == {
        "endpoint": "https://[2001:db8::1]:9696/network",
        "username": "r@t",
        "password": 'a"b\\c:# d',
    }
    assert cloud["compute_endpoint_override"] == "https://[2001:db8::1]:9696/compute/v2.1"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("unix:///run/kedge/kedge.sock", "speak to no Unix socket"),
        ("ftp://h", "must be http"),
        ("http://", "must be http"),
        ("h1:9696", "must be http"),
    ],
)
def test_a_url_that_they_can_not_be_given(url: str, why: str) -> None:
    assert why in invoke("--url", url, "openrc", exits=2).err
