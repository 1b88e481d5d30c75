"""What Quarto would act upon and this renderer does not: refused with its line, never dropped."""

import re

from analysis.errors import RequestError
from analysis.rendering import check
from analysis.rendering.source import Place, Prose, Source, visible_lines

CALLOUTS = ("note", "tip", "important", "warning", "caution")
_ACTED_UPON = re.compile(
    r"(column-|panel-|layout|callout-|quarto-|aside$|hidden$|incremental$|nonincremental$|fragment"
    r"|cell|border$|header$|footer$|appendix$|margin-|page-columns|grid$|g-col|theorem|proof$"
    r"|remark$|solution$|notes$|columns?$|unlisted$|content-)"
)
_KNOWN = {
    "panel-tabset",
    "content-visible",
    "content-hidden",
    *(f"callout-{kind}" for kind in CALLOUTS),
}
_FLOAT_LABELS = re.compile(r"#(lst|thm|lem|cor|prp|cnj|def|exm|exr|nte|tip|wrn|imp|cau|dia)-[\w-]+")
_CALLOUT_ATTRIBUTES = {"title", "collapse", "appearance", "icon"}
_LAYOUT_ATTRIBUTES = {"layout", "layout-nrow", "layout-align", "layout-valign"}


def refuse_unsupported(source: Source) -> None:
    """RequestError for the first thing in the prose that lies outside the subset."""
    _refuse_shortcodes(source.front)
    _refuse_notes(_without_comments(source.front))
    _refuse_unbalanced(source)
    for part in source.parts:
        if isinstance(part, Prose):
            _refuse_shortcodes(part)
            _refuse_notes(part)
            for offset, line in visible_lines(part.text):
                _check_line(part.place.down(offset), line)


def _refuse_unbalanced(source: Source) -> None:
    """RequestError for a `:::` that opens or closes nothing."""
    open_at: list[Place] = []
    for part in source.parts:
        for offset, line in visible_lines(part.text) if isinstance(part, Prose) else ():
            fence = re.match(r"\s*:{3,}\s*(.*?)\s*:*$", line)
            if fence and fence[1]:
                open_at.append(part.place.down(offset))
            elif fence and not open_at:
                raise RequestError(
                    f"{part.place.down(offset)}: this ::: closes nothing: remove it."
                )
            elif fence:
                open_at.pop()
    if open_at:
        raise RequestError(f"{open_at[-1]}: this ::: is never closed: add a line `:::`.")


def _refuse_shortcodes(part: Prose) -> None:
    for offset, line in visible_lines(part.text):
        if found := re.search(r"\{\{<\s*(/?\w*)", line):
            raise RequestError(
                f"{part.place.down(offset)}: shortcode {{{{< {found[1]} … >}}}} works in Quarto "
                "only: write the text itself, or make it in a chunk."
            )
        if re.search(r"`\{python\}\s*`", _raw(part, offset)):
            raise RequestError(
                f"{part.place.down(offset)}: empty inline expression: give it one, or remove it."
            )
        if found := re.search(r"(?<!`)`\{python\}[^`\s][^`]*`", _raw(part, offset)):
            raise RequestError(
                f"{part.place.down(offset)}: {found[0]} would be shown and not computed: leave a"
                " space behind {python}."
            )


def _without_comments(front: Prose) -> Prose:
    return Prose(front.place, re.sub(r"(^|[ \t])#.*$", "", front.text, flags=re.MULTILINE))


def _refuse_notes(part: Prose) -> None:
    for offset, line in visible_lines(part.text):
        if found := check.notes(line):
            raise RequestError(
                f"{part.place.down(offset)}: {found!r} is a leftover note: write what is missing, "
                f"or say that it is meant: [{found}]{{.data}}."
            )


def _raw(part: Prose, offset: int) -> str:
    return part.text.split("\n")[offset]


def _check_line(at: Place, line: str) -> None:
    if found := re.search(r"!\[[^]]*\]\(\s*<?(https?:)?//", line):
        raise RequestError(
            f"{at}: the image {found[0]!r}… is on a network: put the file beside the paper."
        )
    if found := re.search(r"\{=(?!html\}|typst\})(\w+)\}", line):
        raise RequestError(f"{at}: raw {found[1]} would be in neither file: html and typst are.")
    for braces in re.findall(r"\{([^{}]*)\}", line):
        _check_attributes(at, braces, is_heading=line.lstrip().startswith("#"))
    if (given := re.match(r"\s*:{3,}\s*\{(.*)\}\s*:*$", line)) and (
        rest := _no_attribute(given[1])
    ):
        raise RequestError(
            f'{at}: {rest!r} is no attribute: write .class, #label or key="value", in quotes.'
        )
    if (fence := re.match(r"\s*:{3,}\s*([\w-]+)\s*:*$", line)) and _refused_class(fence[1]):
        raise RequestError(f"{at}: {_not_offered(fence[1])}")


def _no_attribute(braces: str) -> str:
    """What in `{…}` is no attribute: with it, pandoc takes the whole line for text."""
    quoted = r"(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s\"']+)"
    rest = re.sub(rf"(?<!\S)(?:[.#=][^\s\"'=]+|-|[\w:-]+={quoted})(?!\S)", " ", braces).split()
    return rest[0] if rest else ""


def _check_attributes(at: Place, braces: str, *, is_heading: bool) -> None:
    """RequestError if one `{…}` holds a class, label or attribute outside the subset."""
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "", braces)
    names = re.findall(r"(?:^|\s)\.([\w:-]+)", bare)
    for name in names:
        if _refused_class(name):
            if is_heading and name == "appendix":
                raise RequestError(
                    f"{at}: .appendix numbers on in the PDF: write "
                    "`# Appendix A: … {#app-a .unnumbered}` and link to #app-a."
                )
            raise RequestError(f"{at}: {_not_offered(name)}")
    if found := _FLOAT_LABELS.search(bare):
        raise RequestError(
            f"{at}: {found[0]}: only fig-, tbl-, sec- and eq- labels are numbered here."
        )
    keys = set(re.findall(r"(?:^|\s)([\w-]+)=", bare))
    _check_keys(at, keys, names, braces)


def _check_keys(at: Place, keys: set[str], names: list[str], braces: str) -> None:
    if refused := sorted(keys & _LAYOUT_ATTRIBUTES):
        raise RequestError(f"{at}: {refused[0]} is not offered here: use layout-ncol=2.")
    if {"content-visible", "content-hidden"} & set(names):
        conditions = re.findall(r"([\w-]+)=[\"']?([\w-]*)", braces)
        if len(conditions) != 1 or not all(
            key in ("when-format", "unless-format") and value in ("html", "typst")
            for key, value in conditions
        ):
            raise RequestError(
                f'{at}: content is conditional on when-format="html" or "typst" '
                "(or unless-format) only."
            )
    if any(name.startswith("callout-") for name in names) and (extra := keys - _CALLOUT_ATTRIBUTES):
        raise RequestError(
            f"{at}: callouts take {', '.join(sorted(_CALLOUT_ATTRIBUTES))}, not {extra.pop()}."
        )


def _refused_class(name: str) -> bool:
    return name not in _KNOWN and bool(_ACTED_UPON.match(name))


def _not_offered(name: str) -> str:
    return (
        f".{name} is not offered here. Offered: .content-visible, .content-hidden, .panel-tabset, "
        f"{', '.join('.callout-' + kind for kind in CALLOUTS)}, .landscape, .wide, .unnumbered, "
        "layout-ncol."
    )
