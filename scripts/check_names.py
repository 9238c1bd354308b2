"""Are all public names documented: with shapes, units, what they raise, and the source of the equation they implement?

python scripts/check_names.py       names what is missing, and how many are documented

Public are the names of the package `scorefield` and, with their public methods, the functions and classes of the modules
in `MODULES`. What must be there:

    words    a docstring
    types    every parameter and result annotated, every array with its shape
    units    where a float or an array of floats goes in or comes out: in the docstring (its own, its class's, its module's)
             or in the parameter's name; `UNITS` says what counts, pure numbers included
    errors   "Raises InputError" where the code raises it, itself or by a function of its own module
    source   in modules of `THEORY`: an arXiv number, a DOI, or an author with a year
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent / "src" / "scorefield"
MODULES = [
    *("dataset", "systems", "trajectory", "molecule", "frames", "config", "prepare"),
    *(
        "model",
        "train",
        "finetune",
        "refine",
        "refinement",
        "simulate",
        "stream",
        "evaluate",
        "page",
        "forcefield",
        "restraints",
        "umbrella",
    ),
    *("verify/__init__", "verify/base", "metrics/base", "energy/base", "energy/gaussian"),
    *("samplers", "dynamics", "noise", "diffusion", "level"),
    *(f"engines/{name}" for name in ("replicas", "openmm", "openmm_ml", "ase", "ipi", "jax_md")),
]
THEORY = {"forcefield", "umbrella", "samplers", "dynamics", "noise", "diffusion", "level", "energy/base"}
UNITS = re.compile(
    r"\b(nm|ps|ns|fs|K|Da|kT|kJ/mol|kcal/mol|eV|hartree|bohr|rad|Å|Å²|seconds|frames|degrees|units?|no unit|without unit|"
    r"pure number|probabilit\w+|fractions?|share|weights?|ratios?|per coordinate|in units of)\b|1/nm|1/ps|nm\^2|nm²"
)
SOURCE = re.compile(r"arXiv|doi|[A-Z]\w+(?:,? (?:and|et al\.?) ?\w*)? \(?(?:19|20)\d\d|Tweedie|eq\. \d")
SUFFIX = re.compile(r"_(nm|ps|ns|fs|K|Da)$")
FLOATS = re.compile(r"\bfloat\b|Float\[")
BARE = re.compile(r"(?<![\w\"])(?:np\.)?(?:ndarray|Array)(?!\[|,|\w)")


class Name(NamedTuple):
    """A public name: where it is, its node, and the docstrings around it, nearest first."""

    place: str
    node: ast.FunctionDef | ast.ClassDef
    around: tuple[str, ...]
    module: str


@cache
def tree(module: str) -> ast.Module:
    """The parsed module, by its path below src/scorefield."""
    return ast.parse((ROOT / f"{module}.py").read_text(encoding="utf-8"))


def public() -> Iterator[Name]:
    """All public names of `MODULES`, methods included."""
    for module in MODULES:
        top = ast.get_docstring(tree(module)) or ""
        for node in tree(module).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                place = f"{module}.{node.name}"
                yield Name(place, node, (ast.get_docstring(node) or "", top), module)
                for member in node.body if isinstance(node, ast.ClassDef) else ():
                    if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                        words = (ast.get_docstring(member) or "", ast.get_docstring(node) or "", top)
                        yield Name(f"{place}.{member.name}", member, words, module)


def missing(name: Name) -> list[str]:
    """What the documentation of a name lacks."""
    found = [] if name.around[0] else ["words"]
    if isinstance(name.node, ast.FunctionDef):
        found += _types(name.node) + _units(name)
    if _raises(name.module, name.node) and not re.search(
        r"[Rr]aises? (?:as |nothing|InputError)|InputError is raised", " ".join(name.around[:2])
    ):
        found.append("errors")
    if name.module in THEORY and not SOURCE.search(" ".join(name.around)):
        found.append("source")
    return found


def _parameters(node: ast.FunctionDef) -> list[ast.arg]:
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [arg for arg in given if arg.arg not in ("self", "cls")]


def _types(node: ast.FunctionDef) -> list[str]:
    found = [f"type of {arg.arg}" for arg in _parameters(node) if arg.annotation is None]
    found += ["type of the result"] if node.returns is None else []
    annotations = [arg.annotation for arg in _parameters(node)] + [node.returns]
    return found + [f"shape in {ast.unparse(a)}" for a in annotations if a is not None and BARE.search(ast.unparse(a))]


def _units(name: Name) -> list[str]:
    assert isinstance(name.node, ast.FunctionDef)
    returns = "" if name.node.returns is None else ast.unparse(name.node.returns)
    numbers = [arg for arg in _parameters(name.node) if arg.annotation and FLOATS.search(ast.unparse(arg.annotation))]
    unnamed = [arg for arg in numbers if not SUFFIX.search(arg.arg)]
    if (unnamed or FLOATS.search(returns)) and not any(UNITS.search(text) for text in name.around):
        return ["units"]
    return []


def _raises(module: str, node: ast.AST, seen: frozenset[str] = frozenset()) -> bool:
    """Whether a function raises InputError, itself or by functions of its own module."""
    body = [n for n in ast.walk(node) if not isinstance(node, ast.ClassDef)] or _constructor(node)
    if any(isinstance(n, ast.Raise) and "InputError" in ast.unparse(n) for n in body):
        return True
    functions = {n.name: n for n in tree(module).body if isinstance(n, ast.FunctionDef)}
    called = {n.func.id for n in body if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)} - seen
    return any(_raises(module, functions[c], seen | called) for c in called & functions.keys())


def _constructor(node: ast.AST) -> list[ast.AST]:
    methods = [n for n in getattr(node, "body", ()) if getattr(n, "name", "") in ("__init__", "__post_init__")]
    return [n for method in methods for n in ast.walk(method)]


def count() -> tuple[int, int, list[str]]:
    """Names documented, names in all, and what is missing: one line a name."""
    names = list(public())
    gaps = {name.place: found for name in names if (found := missing(name))}
    return len(names) - len(gaps), len(names), [f"{place}: {', '.join(found)}" for place, found in gaps.items()]


def main() -> None:
    """Print what is missing."""
    documented, total, gaps = count()
    print(*gaps, f"{documented} of {total} public names are documented", sep="\n")
    sys.exit(documented < total)


if __name__ == "__main__":
    main()
