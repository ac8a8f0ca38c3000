"""A reviewer's Markdown, made safe: raw HTML stays text, and nothing but a site or a mailbox is linked."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from gradcam.text import paragraphs

SCHEMES = ("http", "https", "mailto")


def note_html(text: str) -> str:
    """The note as HTML that needs no further escaping; its headings are bold lines, not headings of the report."""
    return _PARSER.render(paragraphs(text))


def note_tree(text: str) -> list[dict[str, Any]]:
    """The note as nested `{kind, text, href, children}`, for writers that are no HTML."""
    return [_plain_node(node) for node in SyntaxTreeNode(_PARSER.parse(paragraphs(text))).children]


def _plain_node(node: SyntaxTreeNode) -> dict[str, Any]:
    plain: dict[str, Any] = {"kind": node.type}
    if node.type in ("text", "code_inline", "fence", "code_block"):
        plain["text"] = node.content
    if node.type == "link":
        plain["href"] = str(node.attrs.get("href", ""))
    if node.children:
        plain["children"] = [_plain_node(child) for child in node.children]
    return plain


def _leads_out(link: str) -> bool:
    try:
        return urlsplit(link.strip()).scheme.lower() in SCHEMES
    except ValueError:
        return False


_PARSER = MarkdownIt("commonmark", {"html": False}).disable("image")
_PARSER.add_render_rule("heading_open", lambda *_: "<p><strong>")
_PARSER.add_render_rule("heading_close", lambda *_: "</strong></p>\n")
_PARSER.validateLink = _leads_out  # pyright: ignore[reportAttributeAccessIssue]
