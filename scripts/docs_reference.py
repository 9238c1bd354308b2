"""Reference pages from the code itself, in Markdown: commands from their help, names of the package, metrics, checks."""

import contextlib
import inspect
import io
import json
from collections.abc import Iterator
from typing import Any, get_args

from docs_results import markdown
from pydantic import BaseModel

import scorefield
from scorefield.cli import app
from scorefield.config import Config
from scorefield.metrics import METRICS, TIMED
from scorefield.report import GOOD_RATIO
from scorefield.verify import CHECKS

WIDTH = 100
_TYPES = {"integer": "whole number", "number": "number", "boolean": "true or false", "array": "increasing numbers"}


def commands() -> str:
    """The help text of every command."""
    names = sorted(name for name in app if not name.startswith("-"))
    return "\n\n".join(f"## scorefield {name}\n\n```text\n{_help(name)}\n```" for name in names)


def _help(name: str) -> str:
    from rich.console import Console

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        app.help_print([name], console=Console(file=text, width=WIDTH, color_system=None))
    return "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines())


def settings() -> str:
    """Every section of a configuration: what it is for, its keys, their defaults and what they may be."""
    found = []
    for name, field in Config.model_fields.items():
        among = get_args(field.annotation) or (field.annotation,)
        kinds = [kind for kind in among if inspect.isclass(kind) and issubclass(kind, BaseModel)]
        for kind in kinds:
            schema = kind.model_json_schema()
            keys, needed = schema["properties"], schema.get("required", [])
            own = _allowed(keys.pop("kind")).replace("`", "").replace(", ", " or ") if "kind" in keys else ""
            head = f"## [{name}]" + (f", kind = {own}" if len(kinds) > 1 else "")
            default = lambda key, about, needed=needed: "must be given" if key in needed else _default(about)
            rows = [f"| `{key}` | {default(key, about)} | {_allowed(about)} |" for key, about in keys.items()]
            table = "| key | default | may be |\n|---|---|---|\n" + "\n".join(rows)
            found.append("\n\n".join([head, _prose(inspect.cleandoc(kind.__doc__ or "")), table]))
    return "\n\n".join(found)


def _default(about: dict[str, Any]) -> str:
    value = about.get("default")
    return "by the molecule" if value is None else f"`{json.dumps(value)}`"


def _allowed(about: dict[str, Any]) -> str:
    """A key's JSON schema in words."""
    if "anyOf" in about:
        return " or ".join(_allowed(part) for part in about["anyOf"] if part.get("type") != "null")
    if "enum" in about or "const" in about:
        return ", ".join(f'`"{value}"`' for value in about.get("enum", [about.get("const")]))
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {about[key]:g}" for key, sign in signs.items() if key in about]
    return " ".join([_TYPES.get(about.get("type", ""), "one of its kinds"), ", ".join(limits)]).strip()


def names() -> str:
    """Signature and docstring of every name of the package, and of the methods of its classes."""
    return "\n\n".join(_described(name, getattr(scorefield, name)) for name in scorefield.__all__)


def _described(name: str, value: Any) -> str:
    text = inspect.cleandoc(value.__doc__ or "")
    parts = [f"## {name}\n\n`from {value.__module__} import {name}`", _signature(name, value), _prose(text)]
    if inspect.isclass(value):
        parts += [f"**{name}.{member}**\n\n{_prose(inspect.cleandoc(found))}" for member, found in _members(value)]
    return "\n\n".join(part for part in parts if part)


def _signature(name: str, value: Any) -> str:
    if inspect.isclass(value):
        return ""
    lines = inspect.getsource(value).splitlines()
    end = next(k for k, line in enumerate(lines) if line.rstrip().endswith(":"))
    return "```py\n" + "\n".join(lines[: end + 1]).removesuffix(":") + "\n```"


def _prose(text: str) -> str:
    """A docstring as Markdown: what is indented or aligned stays as it is written."""
    blocks = text.split("\n\n")
    verbatim = lambda block: any(line.startswith("    ") for line in block.splitlines())
    return "\n\n".join(f"```text\n{block}\n```" if verbatim(block) else block.replace("|", "\\|") for block in blocks)


def _members(kind: type) -> Iterator[tuple[str, str]]:
    for name, value in vars(kind).items():
        documented = getattr(getattr(value, "__func__", value), "__doc__", None)
        if (
            not name.startswith("_")
            and documented
            and (inspect.isfunction(value) or isinstance(value, property | staticmethod))
        ):
            yield name, documented


def metrics() -> str:
    """Every metric: name, title, unit and definition."""
    rows = [
        (f"`{key}`", m.title, m.unit, m.definition, f"{m.tolerance:g}" if m.tolerance else "")
        for key, m in (METRICS | TIMED).items()
    ]
    return markdown(("name", "title", "unit", "definition", "does not matter"), rows)


def judged() -> str:
    """How a value becomes a verdict, with the numbers of the code."""
    good = f"a deviation of at most {GOOD_RATIO:g} floors, or within the tolerance of the metric"
    return f"**good**: {good}; **fair**: twice that; **poor**: more."


def checks() -> str:
    """Every check of `scorefield verify`, with what its function says of itself."""
    first = lambda text: " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())
    return markdown(
        ("check", "what it looks at"), [(f"`{key}`", first(check.__doc__)) for key, check in CHECKS.items()]
    )
