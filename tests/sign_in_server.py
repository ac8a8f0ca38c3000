"""A dashboard that asks an OpenID provider on loopback, to whom everybody is who they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamlit.web.server.starlette.starlette_app_utils import create_signed_value, decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from tests.server import dashboard

SECRET = "a secret of this test that is long enough"
COOKIE = USER_COOKIE_NAME
"""In which a browser keeps what the provider said."""
PROVIDER_WARNS = "ignore::DeprecationWarning:(authlib|oidc_provider_mock)"
"""The provider runs in the process of the test, and uses what authlib is about to replace."""


@contextmanager
def asking_dashboard(folder: Path, roles: str, **variables: str) -> Iterator[str]:
    """Start a provider, and a dashboard that asks it, in a folder; give the dashboard's address.

    roles: who may what, as TOML.
    """
    from oidc_provider_mock import run_server_in_thread

    (folder / "roles.toml").write_text(roles)
    (folder / "gradcam.toml").write_text(f'[auth]\nroles = "{folder / "roles.toml"}"\n')
    (folder / ".streamlit").mkdir()
    with run_server_in_thread() as server:
        (folder / ".streamlit" / "secrets.toml").write_text(
            "[auth]\n"
            'redirect_uri = "http://127.0.0.1:{port}/oauth2callback"\n'
            f'cookie_secret = "{SECRET}"\n'
            'client_id = "gradcam"\n'
            'client_secret = "not asked for"\n'
            f'server_metadata_url = "http://localhost:{server.server_port}/.well-known/openid-configuration"\n'
        )
        with dashboard(start_in=folder, no_proxy="localhost,127.0.0.1", **variables) as address:
            yield address


def read_cookie(value: str | None) -> dict[str, Any]:
    """What the server reads in a browser's cookie."""
    decoded = decode_signed_value(SECRET, COOKIE, value.encode()) if value else None
    return json.loads(decoded) if decoded else {}


def write_cookie(claims: dict[str, Any]) -> str:
    """A cookie as the server writes it."""
    return create_signed_value(SECRET, COOKIE, json.dumps(claims)).decode()
