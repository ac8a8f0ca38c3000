"""Reports: write a review of what is compared, reopen and replay one, and compare two."""

from __future__ import annotations

import streamlit as st

from dashboard.components import (
    check_files,
    continue_report,
    headline,
    offer_report,
    offer_signature,
    open_report,
    pick_look,
    pick_models,
    pick_one,
    pick_photos,
    pick_request,
    replay_report,
    run_comparison,
    section,
    show_changes,
    show_errors,
    show_report,
    write_notes,
    write_verdict,
)
from dashboard.session import Key, ReportKey

headline("Reports", "What did the models look at, what do you conclude, and can anybody check it?")
st.caption(
    "*Reports* are files that are handed round; *Reviews* are kept in a store, where a team goes on with them."
)
task = pick_one("Task", ["Write", "Reopen", "Compare"], Key.TASK)

if task == 0:
    with st.sidebar:
        with section("Photos"):
            photos = pick_photos()
        with section("Models"):
            models = pick_models()
        with section("Question"):
            request = pick_request(models)
        with section("Look"):
            style = pick_look()
    if not photos or not models:
        st.info("Choose a photo and a model in the sidebar; the report is about them.", icon=":material/west:")
    else:
        with show_errors():
            comparison = run_comparison(models, photos, request)
            with section("1 · Photos"):
                notes = write_notes(comparison, style)
            with section("2 · Verdict"):
                verdict = write_verdict()
            with section("3 · Report"):
                offer_report(comparison, request, style, verdict, notes)
elif task == 1:
    with st.sidebar, section("Photos"):
        pick_photos()
        st.caption("For a replay of a report that carries no photos.")
    with show_errors():
        if opened := open_report(ReportKey.REOPENED, "Report to reopen"):
            show_report(opened)
            replay_report(opened.report)
            continue_report(opened)
            if opened.verified.has_manifest:
                offer_signature(opened)
            check_files(opened)
        else:
            st.info("A reopened report shows what was reviewed, and whether its heatmaps can be had again today.")
else:
    with show_errors():
        with st.container(horizontal=True):
            before = open_report(ReportKey.BEFORE, "Earlier report")
            after = open_report(ReportKey.AFTER, "Later report")
        if before and after:
            show_changes(before, after)
        else:
            st.info("Two reports side by side: which models, classes, verdicts, predictions and maps changed.")
