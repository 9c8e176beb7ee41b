"""One page of HTML that can be mailed: no script, no network, pictures inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO

from matplotlib.figure import Figure

from xcdi.plot import style

__all__ = ["document", "heading", "inline", "picture", "pre", "table"]

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
CSS = """
:root { color-scheme: light; }
body { font: 16px/1.45 system-ui, sans-serif; color: #1b1b1b; max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #ccc; }
figure { margin: 1.2rem 0; } img { max-width: 100%; height: auto; display: block; margin: 0 auto; }
figcaption { font-size: .92rem; color: #444; margin-top: .3rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.long { white-space: normal; overflow-wrap: anywhere; }
th { background: #f3f3f3; } tr.fail td { background: #fde8e8; } .fail strong { color: #b00020; } .pass strong { color: #12723a; }
pre { font-size: .82rem; background: #f6f6f6; padding: .7rem; overflow-x: auto; } .warn { color: #b00020; font-weight: 600; }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """Return the page; `parts` are HTML already, `title` is text.

    Examples
    --------
    >>> "<script>" in document("<script>", [])
    False
    """
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>{escape(title)}</title><style>{CSS}</style>'
    )
    body = "\n".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n'


def heading(text: str, *, warning: str = "") -> str:
    """Return a heading, and a warning under it if there is one.

    Examples
    --------
    >>> heading("a < b")
    '<h2>a &lt; b</h2>'
    """
    return f"<h2>{escape(text)}</h2>" + (f'<p class="warn">{escape(warning)}</p>' if warning else "")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, classes: Sequence[str] = ()) -> str:
    """Return a table that scrolls sideways on a small screen; `classes` names one CSS class per row.

    Examples
    --------
    >>> table(["n"], [["1"]])
    '<div class="wide"><table><tr><th>n</th></tr><tr><td>1</td></tr></table></div>'
    """
    lines = ["".join(f"<th>{escape(word)}</th>" for word in head)] if head else []
    body = ["".join(_cell(word) for word in row) for row in rows]
    named = [f' class="{escape(name)}"' for name in classes] or [""] * len(body)
    rows_html = [f"<tr>{line}</tr>" for line in lines] + [f"<tr{kind}>{line}</tr>" for kind, line in zip(named, body, strict=True)]
    return f'<div class="wide"><table>{"".join(rows_html)}</table></div>'


def pre(title: str, text: str) -> str:
    """Return text that unfolds under its title.

    Examples
    --------
    >>> pre("settings", "a = 1")
    '<details><summary>settings</summary><pre>a = 1</pre></details>'
    """
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def picture(made: Figure, caption: str, *, dpi: float = 110) -> str:
    """Return the figure as an inline PNG with its caption."""
    words = escape(caption)
    return f'<figure><img alt="{words}" src="{inline(made, dpi=dpi)}"><figcaption>{words}</figcaption></figure>'


def inline(made: Figure, *, dpi: float) -> str:
    """Return the figure as a data URL.

    Examples
    --------
    >>> inline(style.figure(1.0, 1.0), dpi=20)[:22]
    'data:image/png;base64,'
    """
    buffer = BytesIO()
    with style.paper():
        made.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode('ascii')}"


def _cell(word: str) -> str:
    kind = ' class="long"' if len(word) > 40 else ""
    text = escape(word)
    return f"<td{kind}><strong>{text}</strong></td>" if word in ("pass", "FAIL") else f"<td{kind}>{text}</td>"
