"""What the fixture paper shows: figures, tables, and strings that are up to no good."""

import string

import numpy as np
from matplotlib.figure import Figure

HOSTILE = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[click](javascript:alert(1))",
    "{{< env HOME >}}", "{{< include report.qmd >}}", "`{python} 1+1`", "@fig-curve and @nobody",
    "?@fig-none", "::: {.landscape}", "#let x = 1; #x", "$E = mc^2$ costs $5", "a | b || c",
    "**bold** _it_ ~~no~~ H~2~O x^2^", "- item", "1. first", "--- a -- b ... c",
    "\\newcommand \\* \\#", "&lt;b&gt; &amp; &#42;", "<!-- gone -->", "[^1] ![x](y.png)",
    "\"quoted\" 'single' `code`", "TODO and nan", "TODO and", "line one\nline two",
)  # fmt: skip


class Md:
    """Markdown as it stands."""

    def __init__(self, text):
        self.text = text

    def _repr_markdown_(self):
        return self.text


def esc(s):
    """The string as Markdown that shows it exactly; word joiners keep Typst from reading it."""
    shown = {c: f"&#{ord(c)};" + "&#8288;" * (c in ":-.") for c in string.punctuation}
    return "&#8288;" + "".join(shown.get(c, c) for c in " ".join(s.split()))


def data(s):
    """A string from data, marked as such for the check of finished files."""
    return f"[{esc(s)}]{{.data}}"


def table(header, rows, align=None):
    align = align or "l" * len(header)
    rule = ["---:" if a == "r" else "---" for a in align]
    return Md("\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows]))


def curve(width=6.3, height=2.6):
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
    axes = figure.subplots()
    axes.set_facecolor("none")
    x = np.linspace(0, 1, 50)
    for power, name in ((2, "magnitude"), (4, "wanda"), (8, "sparsegpt")):
        axes.plot(x, 1 - x**power, label=name)
    axes.set_xlabel("sparsity")
    axes.set_ylabel("retained")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def heat():
    figure = Figure(figsize=(3.2, 2.2), layout="constrained", facecolor="none")
    axes = figure.subplots()
    axes.imshow(np.outer(np.arange(6), np.arange(9)), cmap="viridis")
    return figure


def wide():
    names = ["method", "10%", "50%", "90%", "95%", "99%", "bytes", "p50 ms", "speed-up"]
    numbers = ["0.99", "0.97", "0.81", "0.70", "0.12", "4,194,304", "12.5", "1.9"]
    rows = [[name, *numbers] for name in ("magnitude", "wanda", "sparsegpt")]
    return table(names, rows, "lrrrrrrrr")


def long(count=70):
    rows = [[str(i), f"layer.{i}.attention", f"{i / 7:.3f}"] for i in range(count)]
    return table(["i", "layer", "mean"], rows, "rlr")
