"""Records what people say of one subject, by buttons and keys: verdicts, a note, and a thread of comments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from dashboard.components.messages import escape_markdown
from gradcam.report import note_html
from gradcam.reviews import STATUSES, Comment, Review, Subject, Verdict, split_note, titled_note

if TYPE_CHECKING:
    from gradcam.reviews import ReviewStore

MOST_TEXT, MOST_TITLE = 19_000, 100
"""Letters of a note or comment, and of a name; both together are kept as one note."""
MARKDOWN = "Markdown: \\*\\*bold\\*\\*, \\*italic\\*, lists with -, links to a site."


class Word(NamedTuple):
    """What can be done with a subject: as a button says it, and the key that does it too."""

    label: str
    icon: str
    key: str


WORDS = {
    "approved": Word("Approve", ":material/check:", "A"),
    "rejected": Word("Reject", ":material/close:", "X"),
    "unsure": Word("Unsure", ":material/question_mark:", "U"),
    "shortcut": Word("Shortcut", ":material/warning:", "S"),
    "fine": Word("Fine", ":material/check:", "F"),
    "in review": Word("Still at it", ":material/hourglass_empty:", "I"),
}
"""How each status is said. Streamlit keeps the keys C and R for itself."""
PREVIOUS = Word("Previous", ":material/arrow_back:", "P")
NEXT = Word("Next", ":material/arrow_forward:", "N")
UNDO = Word("Undo", ":material/undo:", "Z")
NOTE = Word("Note", ":material/edit_note:", "M")
NAME = Word("Name it", ":material/edit_note:", "M")
"""The same for a cluster, which people give a name as well."""

_REPLY, _NOTING = "_reply_to", "_noting"
_NAMES = "Such as: ruler at the edge"


def judge(
    store: ReviewStore,
    review: Review,
    subject: Subject,
    me: str,
    *,
    keys: bool = True,
    move: Callable[[int], None] | None = None,
) -> None:
    """Offer all that `me` can say of a subject; each verdict supersedes the one before, and undo takes it back.

    keys: whether keys do it too, which they can for one subject of a page. move: called with 1 to go to the next
    subject, with −1 to the one before.
    """
    key = f"{review.id}-{subject}"
    noting = st.session_state.get(_NOTING) == key
    mine = _mine(store, review, subject, me)
    note = mine.note if mine else ""
    acts: list[tuple[Word, Callable[[], object]]] = [
        (WORDS[status], lambda status=status: store.say(review, status, me, subject, note=note))
        for status in STATUSES[subject.kind]
        if status in WORDS
    ]
    acts += [
        (UNDO, lambda: store.undo(review, me, subject)),
        (
            NAME if subject.kind == "cluster" else NOTE,
            lambda: st.session_state.update({_NOTING: None if noting else key}),
        ),
    ]
    if move:
        acts = [(PREVIOUS, lambda: move(-1)), *acts, (NEXT, lambda: move(1))]
    with st.container(horizontal=True, gap="small"):
        pressed = [act for word, act in acts if _button(word, key, keys)]
    for act in pressed:
        act()
        st.rerun()
    if noting:
        _write_note(store, review, subject, me)


def decide(store: ReviewStore, review: Review, subject: Subject, me: str) -> None:
    """Offer an owner to decide between the verdicts of others."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown("**Decide:**", width="content")
        for status in STATUSES[subject.kind]:
            decided = status in WORDS and _button(WORDS[status], f"decide-{review.id}-{subject}", keys=False)
            if decided:
                store.say(review, status, me, subject, adjudicates=True)
                st.rerun()


def _button(word: Word, key: str, keys: bool) -> bool:
    shortcut = word.key if keys else None
    return st.button(word.label, icon=word.icon, key=f"_{word.label}-{key}", shortcut=shortcut)


def _mine(store: ReviewStore, review: Review, subject: Subject, me: str) -> Verdict | None:
    """Return what `me` thinks themselves, whatever they decided between others."""
    verdicts = store.verdicts(review, subject)
    return next((one for one in verdicts if one.reviewer == me and not one.adjudicates), None)


def _write_note(store: ReviewStore, review: Review, subject: Subject, me: str) -> None:
    """Let the reviewer write a note; it is kept with the status of their verdict, if they gave one."""
    mine = _mine(store, review, subject, me)
    with st.form(f"_note-{review.id}-{subject}", border=False):
        title, before = "", mine.note if mine else ""
        if subject.kind == "cluster":
            title, before = split_note(before)
            title = st.text_input(
                "Name", title, max_chars=MOST_TITLE, placeholder=_NAMES, key=f"_note_title-{review.id}-{subject}"
            )
        text = st.text_area(
            "Note", before, height=100, max_chars=MOST_TEXT, help=MARKDOWN, key=f"_note_text-{review.id}-{subject}"
        )
        if st.form_submit_button("Keep the note", icon=":material/save:"):
            note = titled_note(title or "", text or "")
            store.say(review, mine.status if mine else "draft", me, subject, note=note)
            st.session_state[_NOTING] = None
            st.rerun()


def show_verdicts(store: ReviewStore, review: Review, subject: Subject) -> None:
    """Show what each person whom the visitor may hear said last of a subject."""
    for one in store.verdicts(review, subject):
        if one.status == "draft" and not one.note:
            continue
        decides = " decides" if one.adjudicates else ""
        st.markdown(f"**{escape_markdown(one.reviewer)}**{decides}: {one.status} · {_time(one.at)}")
        if one.note:
            st.html(note_html(one.note))


def discuss(store: ReviewStore, review: Review, subject: Subject, me: str) -> None:
    """Show the comments on a subject as threads, each with a button to answer it, and a field for another one."""
    key = f"{review.id}-{subject}"
    comments = show_comments(store, review, subject, may_answer=True)
    answered: Comment | None = next((one for one in comments if one.id == st.session_state.get(_REPLY)), None)
    label = f"Reply to {escape_markdown(answered.author)}" if answered else "Comment"
    with st.form(f"_comment-{key}", clear_on_submit=True, border=False):
        text = st.text_area(label, height=84, max_chars=MOST_TEXT, help=MARKDOWN, key=f"_comment_text-{key}")
        if st.form_submit_button("Comment", icon=":material/comment:"):
            store.comment(review, text or "", me, subject, answered)
            st.session_state.pop(_REPLY, None)
            st.rerun()


def show_comments(
    store: ReviewStore, review: Review, subject: Subject, *, may_answer: bool = False
) -> list[Comment]:
    """Show as threads, and return, the comments on a subject that the store shows to whom it acts for."""
    comments = store.comments(review, subject)
    for comment, depth in _threads(comments):
        with st.container(horizontal=True, gap="small"):
            if depth:
                st.space(24 * depth)
            with st.container(gap="xxsmall"):
                st.caption(f"**{escape_markdown(comment.author)}** · {_time(comment.at)}")
                st.html(note_html(comment.text))
            if may_answer and st.button("Reply", key=f"_reply-{comment.id}", type="tertiary"):
                st.session_state[_REPLY] = comment.id
                st.rerun()
    return comments


def _threads(comments: list[Comment], under: str | None = None, depth: int = 0) -> Iterator[tuple[Comment, int]]:
    """Yield each comment with its depth in the thread, answers after what they answer."""
    for comment in comments:
        if comment.replies_to == under:
            yield comment, min(depth, 4)
            yield from _threads(comments, comment.id, depth + 1)


def _time(at: str) -> str:
    return f"{at[:16].replace('T', ' ')} UTC"
