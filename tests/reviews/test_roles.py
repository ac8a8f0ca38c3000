"""Who may do what."""

from __future__ import annotations

import io

import pytest

from gradcam.errors import ReviewError
from gradcam.reviews import Actor, read_roles
from gradcam.reviews.roles import ROLES
from tests.reviews.examples import PHOTO, SOMEBODYS, key_of

ANYBODY = "Anna"
DOES = {
    "viewer": {
        "projects": lambda store, review: store.projects(),
        "reviews": lambda store, review: store.reviews(),
        "verdicts": lambda store, review: store.verdicts(review),
        "history": lambda store, review: store.history(review),
        "comments": lambda store, review: store.comments(review),
        "assignments": lambda store, review: store.assignments(review),
        "signatures": lambda store, review: store.signatures(review),
        "shared models": lambda store, review: store.shared_models(store.projects()[0]),
        "trusted keys": lambda store, review: store.trusted_keys(store.projects()[0]),
        "state": lambda store, review: store.state(review),
        "evidence": lambda store, review: store.evidence(review),
        "pulse": lambda store, review: store.pulse(review),
    },
    "reviewer": {
        "say": lambda store, review: store.say(review, "approved", ANYBODY, PHOTO),
        "comment": lambda store, review: store.comment(review, "Why?", ANYBODY),
        "ask oneself": lambda store, review: store.assign(review, ANYBODY, ANYBODY),
        "share a model": lambda store, review: store.share_model(store.projects()[0], "mine", "{}", b"", ANYBODY),
        "keep evidence": lambda store, review: store.keep_evidence(review, b"ZIP", ANYBODY),
        "begin the first review of a run": lambda store, review: store.project_of_runs(ANYBODY),
        "add a review": lambda store, review: store.add_review(store.projects()[0], "cd" * 32, "New", ANYBODY),
    },
    "owner": {
        "ask another": lambda store, review: store.assign(review, "Ben", ANYBODY),
        "decide": lambda store, review: store.say(review, "approved", ANYBODY, PHOTO, adjudicates=True),
        "add a project": lambda store, review: store.add_project("New", ANYBODY),
        "trust a key": lambda store, review: store.trust(store.projects()[0], SOMEBODYS, ANYBODY),
        "export": lambda store, review: store.export(io.BytesIO()),
        "import": lambda store, review: store.import_(io.BytesIO()),
    },
}


@pytest.mark.parametrize("role", [None, *ROLES])
def test_everybody_may_do_what_their_role_allows_and_no_more(store, review, role):
    mine = store.acting_as(Actor(ANYBODY, role))
    for least, acts in DOES.items():
        for what, act in acts.items():
            if role is not None and ROLES.index(role) >= ROLES.index(least):
                act(mine, review)
            else:
                with pytest.raises(ReviewError, match=f"expected the role (viewer|{least})"):
                    pytest.fail(f"{role} may {what}: {act(mine, review)}")


def test_nobody_speaks_for_another(store, review, tmp_path):
    mine = store.acting_as(Actor("Anna", "owner"))
    store.say(review, "approved", "Ben")
    for act in (
        lambda: mine.say(review, "rejected", "Ben"),
        lambda: mine.undo(review, "Ben"),
        lambda: mine.comment(review, "Why?", "Ben"),
        lambda: mine.assign(review, "Anna", "Ben"),
        lambda: mine.sign(review, key_of("Anna", tmp_path), "Ben"),
    ):
        with pytest.raises(ReviewError, match="got words of 'Ben'"):
            act()


def test_roles_are_read_by_address_and_group_the_highest_first(tmp_path):
    file = tmp_path / "roles.toml"
    file.write_text('owner = ["Anna@Example.org"]\nreviewer = ["group:Pathology"]\nviewer = ["anna@example.org"]\n')
    roles = read_roles(file)
    assert roles.role_of("anna@example.org") == "owner"
    assert roles.role_of("ben@example.org", ["pathology"]) == "reviewer"
    assert roles.role_of("eve@example.org", ["it"]) is None
    assert roles.role_of("group:pathology") is None  # as an address
    for wrong, sentence in [
        ("owners = []", "expected a role in .*; use 'owner'"),
        ("owner = 3", "expected a list of e-mail addresses"),
        ("owner = [", "expected TOML in"),
    ]:
        file.write_text(wrong)
        with pytest.raises(ReviewError, match=sentence):
            read_roles(file)
