"""Shows the signatures of a review or a report, and lets the visitor add their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import identity, session
from dashboard.components.messages import escape_markdown
from dashboard.components.report_read import Opened
from dashboard.session import ReportKey
from gradcam.keys import SecretKey, new_key, own_folder, own_keys
from gradcam.report import State, Verification, verify_report, with_signature
from gradcam.reviews import Review

if TYPE_CHECKING:
    from gradcam.reviews import ReviewStore

ZIP = "application/zip"


def show_signatures(store: ReviewStore, review: Review, me: str) -> None:
    """Show every signature of a review, void if evidence or verdicts differ, and offer to sign."""
    found = store.signatures(review, own_keys().values())
    for by, signature in found:
        say = st.success if signature.state is State.VALID else st.warning
        say(f"**{escape_markdown(by)}** · {escape_markdown(str(signature))}", icon=":material/signature:")
    if not found:
        st.caption("Nobody has signed it.")
    if key := _offer_to_sign("Sign the review", me):
        store.sign(review, key, me)
        st.rerun()


def offer_signed_zip(store: ReviewStore, review: Review, me: str, evidence: Verification) -> None:
    """Offer to sign the ZIP under review, and to take it with its signatures."""
    for signature in evidence.signatures:
        st.markdown(f"In the ZIP: {escape_markdown(str(signature))}")
    with st.container(horizontal=True):
        if key := _offer_to_sign("Sign the ZIP too", me):
            store.change_evidence(review, lambda data: with_signature(data, key)[0], me)
            st.rerun()
        st.download_button(
            "Take the ZIP",
            lambda: store.evidence(review) or b"",
            "review.zip",
            ZIP,
            on_click="ignore",
            icon=":material/download:",
        )


def offer_signature(opened: Opened) -> None:
    """Offer to sign a ZIP that the visitor opened; the signatures that it has stay."""
    st.header("Sign", anchor=False)
    st.caption(
        f"Adds your signature to **{escape_markdown(opened.name)}** as it was opened: its evidence and its "
        "verdict. Nothing else in it changes. What you write above goes into another ZIP, and is signed there."
    )
    if key := _offer_to_sign("Sign it", session.own_name()):
        data, _ = with_signature(opened.data, key)
        found = verify_report(data, render=False)
        st.session_state[ReportKey.REOPENED] = replace(opened, data=data, report=found.report, verified=found)
        st.rerun()
    if opened.verified.signatures:
        st.download_button(
            "Take it with its signatures",
            opened.data,
            opened.name,
            ZIP,
            on_click="ignore",
            icon=":material/download:",
        )


def _offer_to_sign(label: str, name: str) -> SecretKey | None:
    """Offer to sign; return the key once the visitor asks for that. Whoever has none yet makes one here.

    name: of the visitor, as far as it is known.
    """
    if not identity.lacks_key():
        return identity.signing_key() if st.button(label, icon=":material/signature:") else None
    with st.popover(label, icon=":material/signature:"):
        st.markdown("You have no key to sign with yet. It is made once, and stays on this machine.")
        st.caption(
            f"In {escape_markdown(str(own_folder()))}: hand the `.pub` file to those who are to trust your "
            "signature, and the `.key` file to nobody."
        )
        typed = st.text_input("Your name, as others are to read it", name, max_chars=100, key=f"_key_name-{label}")
        asked = st.button("Make a key and sign", key=f"_make_key-{label}", icon=":material/key:")
    return new_key(typed or "") if asked else None
