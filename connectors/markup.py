"""Vendors' Markdown and markup as plain text: links, emphasis, code marks, HTML tags, placeholders, directives.

Nothing here makes text safe to post: escaping is the cards' work. Placeholders stay visible as ``<name>``.
"""

from __future__ import annotations

import html
import re

_DIRECTIVE = re.compile(
    r":[a-z][a-z-]{0,40}\[((?:\\.|[^\]\\]){0,500})\]\{[^}]{0,2000}\}"
)  # :cloud-resource[name]{resourceId="…"}
_LINK = re.compile(r"!?\[([^\]\[]{0,300})\]\([ ]?<?(https?://[^\s)>\[]{1,1000}+)>?[^)\[]{0,200}+\)")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[\w-]*[ \t]*$", re.M)
_BLOCK = re.compile(r"(?:```|~~~)[\w-]*[ \t]*\r?\n(.*?)(?:```|~~~)", re.S)
_HEADING = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?)", re.M)
_STRONG = re.compile(r"(\*\*|__)(?=\S)(.{1,300}?)(?<=\S)\1", re.S)
_CODE = re.compile(r"`{1,3}([^`]{0,500})`{1,3}")
_BREAK = re.compile(r"<\s*(?:br|/p|/li|/div)\s*/?\s*>", re.I)
_TAG = re.compile(r"</?(?:p|li|ul|ol|div|span|b|i|em|strong|a|code|pre|h[1-6]|table|tr|td|th)(?:\s[^>]{0,300})?>", re.I)
_BRACES = re.compile(r"\{\{\s*([\w.\[\]-]+)\s*\}\}")
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+.!>~|-])")
_LINES = re.compile(r"\n{3,}")
_CLI = ("aws ", "az ", "gcloud ", "gsutil ", "kubectl ", "oci ", "aliyun ", "terraform ", "helm ", "eksctl ")


def plain(said: str) -> str:
    """Readable text without markup; line breaks and list marks stay."""
    if not said:
        return ""
    said = said.replace("\r\n", "\n")
    if ":" in said and "]{" in said:
        said = _DIRECTIVE.sub(r"\1", said)
    if "](" in said:
        said = _LINK.sub(lambda m: m[1].strip() or m[2], said)
    if "```" in said or "~~~" in said:
        said = _FENCE.sub("", said)
    if "#" in said or ">" in said:
        said = _HEADING.sub("", said)
    if "**" in said or "__" in said:
        said = _STRONG.sub(r"\2", said)
    if "`" in said:
        said = _CODE.sub(r"\1", said)
    if "<" in said and ">" in said:
        said = _TAG.sub("", _BREAK.sub("\n", said))
    if "&" in said:
        said = html.unescape(said)
    if "{{" in said:
        said = _BRACES.sub(r"<\1>", said)
    if "\\" in said:
        said = _ESCAPED.sub(r"\1", said)
    lines = "\n".join(line.rstrip() for line in said.split("\n"))
    return _LINES.sub("\n\n", lines).strip()


def links(said: str, limit: int = 10) -> tuple[str, ...]:
    """The https links of Markdown text, each once."""
    found = dict.fromkeys(m[2] for m in _LINK.finditer(said) if m[2].startswith("https://")) if "](" in said else {}
    return tuple(found)[:limit]


def commands(said: str) -> str:
    """The command lines of a cloud's CLI in the code blocks of Markdown text, continuation lines joined."""
    if "```" not in said and "~~~" not in said:
        return ""
    found: list[str] = []
    for block in _BLOCK.findall(said.replace("\r\n", "\n")):
        joined = re.sub(r"\s*[\\/]\s*\n\s*", " ", block)
        found += [line.strip() for line in joined.split("\n") if line.strip().startswith(_CLI)]
    return _BRACES.sub(r"<\1>", "\n".join(found))
