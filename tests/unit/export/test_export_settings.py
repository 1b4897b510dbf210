"""The settings of OpenLineage, and that no secret of them is shown."""

from pathlib import Path

import pytest

from headrace.errors import SettingsError
from headrace.pipeline.where import where
from headrace.settings import resolve

SECRETS = ("ada:pa55word", "key-1234", "tok-5678")


def test_environment_says_all_of_a_transport(tmp_path: Path) -> None:
    environ = {
        "HEADRACE_OPENLINEAGE__ENABLED": "true",
        "HEADRACE_OPENLINEAGE__TRANSPORT__TYPE": "http",
        "HEADRACE_OPENLINEAGE__TRANSPORT__URL": "http://127.0.0.1:5000",
        "HEADRACE_OPENLINEAGE__TRANSPORT__TIMEOUT": "1.5",
        "HEADRACE_OPENLINEAGE__TRANSPORT__VERIFY": "false",
        "HEADRACE_OPENLINEAGE__TRANSPORT__AUTH": "{type: api_key, apiKey: '0042'}",
    }
    transport = resolve(tmp_path, environ=environ).settings.openlineage.transport
    assert transport is not None
    assert transport.config == {
        "type": "http",
        "url": "http://127.0.0.1:5000",
        "timeout": 1.5,
        "verify": False,
        "auth": {"type": "api_key", "apiKey": "0042"},
    }


def test_where_masks_the_transport(tmp_path: Path) -> None:
    flags = [
        "openlineage.transport.type=http",
        "openlineage.transport.url=http://ada:pa55word@127.0.0.1:5000",
        "openlineage.transport.auth={type: api_key, apiKey: key-1234}",
        "openlineage.transport.custom_headers={x-token: tok-5678}",
    ]
    resolved = resolve(tmp_path, flags=flags, environ={})
    shown = where(resolved).model_dump_json() + repr(resolved.settings)

    assert "openlineage.transport.url" in shown
    assert [secret for secret in SECRETS if secret in shown] == []


@pytest.mark.parametrize(
    "flag",
    [
        "openlineage.transport=http://ada:pa55word@127.0.0.1",
        "openlineage.transport={type: [1], auth: {apiKey: key-1234}}",
        "openlineage.transport={type: http, timeout: key-1234}",
        "openlineage.transport={type: '', url: 'http://ada:pa55word@h'}",
    ],
)
def test_error_shows_no_secret(tmp_path: Path, flag: str) -> None:
    with pytest.raises(SettingsError) as caught:
        resolve(tmp_path, flags=[flag], environ={})

    assert "openlineage.transport" in str(caught.value)
    assert [secret for secret in SECRETS if secret in str(caught.value)] == []


def test_unknown_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="namespace"):
        resolve(tmp_path, flags=["openlineage.namespaces=x"], environ={})
