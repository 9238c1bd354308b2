"""What the pages have in common: the style sheet, figures drawn for two widths, settings that unfold."""

import base64
import re
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import tomli_w
from matplotlib.figure import Figure

from .plot import svg

_WIDE, _NARROW = 7.2, 3.7  # inches, of a figure for a desktop's and for a phone's column
_FIGURE = re.compile(r'<figure><h3>([^<]*)</h3>.*?<img [^>]*src="data:image/svg\+xml;base64,([^"]*)"', re.DOTALL)
_PIXELS = 128  # on the page, of an inch at most


def fill(template: str, /, **parts: str) -> str:
    """A page from `data/<template>`, its placeholders replaced by `parts` (HTML); nothing loaded from anywhere."""
    data = files("scorefield") / "data"
    style = (data / "style.css").read_text(encoding="utf-8").rstrip()
    return Template((data / template).read_text(encoding="utf-8")).substitute(parts, style=style)


def cautions(warnings: Sequence[str]) -> str:
    """What a reader must know before all figures; nothing where there is nothing."""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<div class="caution" role="note"><b>Be careful</b><ul>{items}</ul></div>' if warnings else ""


def figure(draw: Callable[[float], Figure], title: str, caption: str) -> str:
    """A figure, drawn at the width in inches of a desktop's and of a phone's column, embedded as SVG."""
    wide, narrow = draw(_WIDE), draw(_NARROW)
    return (
        f'<figure><h3>{title}</h3><picture><source media="(max-width: 600px)" srcset="{_embedded(narrow)}">'
        f'<img loading="lazy" src="{_embedded(wide)}" style="max-width:min(100%,{wide.get_figwidth() * _PIXELS:.0f}px)" '
        f'alt="{escape(caption)}"></picture><figcaption>{escape(caption)}</figcaption></figure>'
    )


def _embedded(drawn: Figure) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg(drawn)).decode()}"


def drawn(page: str) -> dict[str, bytes]:
    """The figures of a page as SVG at a desktop's width, by their titles in lower case: vectors, for print."""
    found: dict[str, bytes] = {}
    for title, content in _FIGURE.findall(page):
        name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        more = sum(key == name or key.startswith(f"{name}-") for key in found)
        found[f"{name}-{more + 1}" if more else name] = base64.b64decode(content)
    return found


def folded(title: str, content: dict[str, Any]) -> str:
    """Settings as TOML under a title that unfolds."""
    return (
        f"<details><summary>{escape(title)}</summary><pre>{escape(tomli_w.dumps(_no_nulls(content)))}</pre></details>"
    )


def _no_nulls(value: Any) -> Any:
    """TOML knows no null: a missing key says the same."""
    if isinstance(value, dict):
        return {str(key): _no_nulls(v) for key, v in value.items() if v is not None}
    return [_no_nulls(v) for v in value if v is not None] if isinstance(value, list | tuple) else value
