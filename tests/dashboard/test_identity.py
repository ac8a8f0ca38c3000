"""Who asks, and that nobody sees a page, or says a word, without the role for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import streamlit as st

from dashboard import data_runs, identity, serving, session
from gradcam import keys
from gradcam.config import Auth, Settings
from gradcam.errors import ReviewError, SigningError
from gradcam.reviews import Actor
from tests.opening import open_page

PAGES = sorted(file.stem for file in Path(identity.__file__).parent.glob("app_pages/[!_]*.py"))
ROLES = 'owner = ["anna@example.org"]\nreviewer = ["group:pathology"]\nviewer = ["eve@example.org"]\n'


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A server that asks who somebody is, and answers to the claims or headers that a test sets."""
    (tmp_path / "roles.toml").write_text(ROLES)
    monkeypatch.setenv("GRADCAM_STORE", str(tmp_path / "reviews.sqlite"))
    monkeypatch.setenv("GRADCAM_KEYS", str(tmp_path / "keys"))

    def ask(
        claims: dict[str, Any] | None = None, headers: dict[str, str] | None = None, hours: float = 12.0
    ) -> None:
        proxies = ("127.0.0.1",) if headers is not None else ()
        auth = Auth(roles=tmp_path / "roles.toml", hours=hours, proxies=proxies)
        monkeypatch.setattr(identity, "settings", lambda: Settings(auth=auth))
        monkeypatch.setattr(
            identity, "get_secrets_auth_section", lambda: {"client_id": "x"} if claims is not None else {}
        )
        monkeypatch.setattr(type(st.user), "to_dict", lambda _: claims or {})
        monkeypatch.setattr(type(st.context), "headers", headers or {})

    return ask


def claims(email: str, *, age: float = 60, **more: Any) -> dict[str, Any]:
    return {"is_logged_in": True, "email": email, "iat": time.time() - age, **more}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (claims("Anna@Example.org"), Actor("anna@example.org", "owner")),
        (claims("ben@example.org", groups=["Pathology"]), Actor("ben@example.org", "reviewer")),
        (claims("eve@example.org", email_verified=True), Actor("eve@example.org", "viewer")),
        (claims("mallory@example.org"), Actor("mallory@example.org", None)),
        (claims("anna@example.org", email_verified=False), None),
        (claims("anna@example.org", age=13 * 3600), None),
        (claims("anna@example.org") | {"iat": None}, None),
        (claims("anna@example.org") | {"is_logged_in": False}, None),
        (claims("ben@example.org", groups="pathology"), Actor("ben@example.org", None)),
        (claims(""), None),
        ({}, None),
    ],
)
def test_a_provider_vouches_for_an_address_and_groups_for_some_hours(asked, said, found) -> None:
    asked(said)
    assert identity.actor() == found


def test_a_proxy_vouches_by_its_headers(asked) -> None:
    asked(headers={"X-Forwarded-Email": "ben@example.org", "X-Forwarded-Groups": "it, pathology"})
    assert identity.actor() == Actor("ben@example.org", "reviewer")
    asked(headers={"Host": "x"})
    assert identity.actor() is None


@pytest.mark.parametrize("who", [None, "eve@example.org", "mallory@example.org"])
def test_only_who_may_review_starts_ends_or_deletes_a_run(asked, monkeypatch: pytest.MonkeyPatch, who) -> None:
    monkeypatch.setattr(data_runs, "host", lambda: pytest.fail("asked the host"))
    asked({} if who is None else claims(who))
    for do in (
        data_runs.cancel,
        data_runs.resume,
        data_runs.delete,
        lambda name: data_runs.start(name, [], [], [], {}),
    ):
        with pytest.raises(ReviewError, match=r"^expected (the role reviewer|to know who you are)"):
            do("x")


def test_the_runs_of_somebody_who_signed_in_are_theirs_in_every_session(asked) -> None:
    asked(claims("ben@example.org", groups=["pathology"]))
    assert data_runs._owner() == "ben@example.org"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9/32"),
        ("::ffff:203.0.113.9", "203.0.113.9/32"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
    ],
)
def test_where_nobody_signs_in_a_share_of_the_disk_belongs_to_a_network(
    monkeypatch: pytest.MonkeyPatch, address: str, network: str
) -> None:
    monkeypatch.setattr(type(st.context), "ip_address", address)
    assert data_runs._owner() == network


def test_at_the_servers_own_machine_a_share_belongs_to_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(st.context), "ip_address", None)
    owners = [data_runs._owner()]
    owners.append(data_runs._owner())
    st.session_state.clear()
    assert owners[0] == owners[1] != data_runs._owner()


def test_a_file_of_roles_that_is_missing_lets_nobody_in(asked, tmp_path: Path) -> None:
    asked(claims("anna@example.org"))
    (tmp_path / "roles.toml").unlink()
    page = open_page("reviews")
    assert "a file of roles" in page.error[0].value
    assert not page.title or page.title[0].value != "Reviews"


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_behind_the_sign_in(asked, name: str) -> None:
    asked({})
    page = open_page(name)
    assert [title.value for title in page.title] == ["Sign in"]
    assert [button.label for button in page.button] == ["Sign in"]
    assert not page.get("download_button")
    asked(claims("mallory@example.org"))
    page = open_page(name)
    assert "Nobody has given mallory@example.org a role" in page.warning[0].value
    assert [button.label for button in page.button] == ["Sign out"]


def test_a_viewer_reads_and_is_refused_by_the_store_where_they_write(asked) -> None:
    asked(claims("anna@example.org"))
    project = identity.team_store().add_project("Skin", "anna@example.org")
    review = identity.team_store().add_review(project, "ab" * 32, "Lesions", "anna@example.org")
    asked(claims("eve@example.org"))
    page = open_page("reviews", review=review.id)
    assert "eve@example.org · viewer" in page.sidebar.caption[0].value
    next(button for button in page.button if button.label == "Approve").click().run()
    assert "expected the role reviewer" in page.error[0].value.lower()
    assert identity.team_store().verdicts(review) == []


def test_who_was_signed_out_meanwhile_says_nothing_more(asked) -> None:
    asked(claims("anna@example.org", age=100), hours=0.03)
    store = identity.team_store()
    assert store.projects() == []
    asked(claims("anna@example.org", age=200), hours=0.03)
    with pytest.raises(ReviewError, match="got nobody; sign in again"):
        identity.team_store()


def test_the_servers_key_signs_in_the_name_that_was_vouched_for(asked, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(claims("anna@example.org"))
    person = keys.new_key("Carla")
    with pytest.raises(SigningError, match="expected the server's own key, got Carla"):
        identity.signing_key()
    keys.secret_file("Carla").unlink()
    server = keys.new_key("gradcam at example.org", vouches=True)
    assert server != person
    key = identity.signing_key()
    assert (key.public.name, key.public.key) == ("anna@example.org", server.public.key)
    asked(claims("eve@example.org"))
    with pytest.raises(SigningError, match="expected the role reviewer to sign"):
        identity.signing_key()
    monkeypatch.setattr(identity, "get_secrets_auth_section", dict)
    monkeypatch.setattr(serving, "is_local", lambda: False)
    with pytest.raises(SigningError, match="sits at the server's machine"):
        identity.signing_key()
    monkeypatch.setattr(serving, "is_local", lambda: True)
    assert identity.signing_key() == server
    keys.new_key("Dora")
    with pytest.raises(SigningError, match="got 2 keys; leave one alone there, or sign the ZIP with `gradcam sign"):
        identity.signing_key()


def test_without_a_sign_in_whoever_has_typed_a_name_may_do_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "own_name", lambda: "")
    assert identity.actor() is None
    monkeypatch.setattr(session, "own_name", lambda: "Anna")
    assert identity.actor() == Actor("Anna", "owner")


@pytest.mark.parametrize(
    ("listens", "client", "proxies", "believed"),
    [
        ("127.0.0.1", "203.0.113.9", ("127.0.0.1",), True),  # uvicorn names whom a proxy here speaks for
        ("127.0.0.1", "127.0.0.1", ("10.0.0.7",), False),
        ("0.0.0.0", "10.0.0.7", ("10.0.0.0/8",), True),
        ("0.0.0.0", "203.0.113.9", ("10.0.0.7", "127.0.0.1"), False),
        ("0.0.0.0", "203.0.113.9", (), False),
        ("0.0.0.0", "nonsense", ("10.0.0.7",), False),
    ],
)
def test_only_a_trusted_proxy_says_who_asks(
    monkeypatch: pytest.MonkeyPatch, listens: str, client: str, proxies: tuple[str, ...], believed: bool
) -> None:
    monkeypatch.setattr(serving, "settings", lambda: Settings(auth=Auth(proxies=proxies)))
    monkeypatch.setattr(serving, "address", lambda: listens)
    headers = [(b"host", b"x"), (b"X-Forwarded-Email", b"anna@example.org"), (b"x-forwarded-groups", b"owners")]
    found = serving._believed({"headers": headers, "client": (client, 0)})
    assert found == (headers if believed else headers[:1])
    twice = [*headers, (b"X-Forwarded-Email", b"mallory@example.org")]
    assert serving._believed({"headers": twice, "client": (client, 0)}) == headers[:1]
