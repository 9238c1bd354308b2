"""Structures to play, side by side, by 3Dmol.js: code and frames are part of the page, which asks for nothing else."""

import base64
import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np
from jaxtyping import Float

from .molecule import Molecule
from .report import Movie, Report

_VIEWER = files("scorefield") / "data" / "viewer"
_FINEST = 1e-4  # nm, of the integers that positions are rounded to
_LARGEST = 32_000  # of these integers
_MOST = 6  # panels: each takes a graphics context of the reader's browser


def player(report: Report) -> str:
    """The panels of structures and all that plays them, as HTML; nothing where there is nothing to play."""
    shown = dict(list(report.movies.items())[:_MOST])
    if not shown:
        return ""
    panels = "".join(
        f'<figure class="panel"><div class="view" data-of="{escape(name)}"></div><figcaption><b>{escape(_title(name))}</b> '
        '<span class="now"></span></figcaption></figure>'
        for name in shown
    )
    scripts = "".join(
        f'<script type="{kind}"{name}>{content}</script>' for kind, name, content in _scripts(report.molecule, shown)
    )
    known = "native" in shown
    return Template(_text("player.html")).substitute(
        panels=panels,
        scripts=scripts,
        native="" if known else " hidden",
        onto="the native structure" if known else "the most typical frame of the reference",
        version=escape(json.loads(_text("source.json"))["version"]),
        licence=escape(_text("LICENSE")),
    )


def _text(name: str) -> str:
    return (_VIEWER / name).read_text(encoding="utf-8")


def _title(name: str) -> str:
    return {"native": "native structure", "reference": "reference, held out"}.get(name, name)


def _scripts(molecule: Molecule, movies: dict[str, Movie]) -> Iterator[tuple[str, str, str]]:
    """Type, attributes and content of the scripts: frames, the viewer packed, and what plays the one with the other."""
    yield "application/json", ' class="frames"', json.dumps(content(molecule, movies)).replace("<", "\\u003c")
    packed = base64.b64encode((_VIEWER / "3Dmol-min.js.gz").read_bytes()).decode()
    yield "text/plain", ' class="library"', packed
    yield "text/javascript", "", _text("player.js")


def content(molecule: Molecule, movies: dict[str, Movie]) -> dict[str, Any]:
    """What player.js reads: beads, bonds, and each movie's positions as packed integers of `angstrom` each."""
    largest = max(float(np.abs(movie.positions).max()) for movie in movies.values())
    step = max(_FINEST, largest / _LARGEST)
    return {
        "beads": [{"atom": name} for name in molecule.bead_names],
        "bonds": molecule.bond_pairs.tolist(),
        "trace": _is_chain(molecule),
        "angstrom": 10 * step,
        "movies": {name: _packed(movie, step) for name, movie in movies.items()},
    }


def _is_chain(molecule: Molecule) -> bool:
    """Whether these are C-alpha beads in one chain, to be drawn as a tube."""
    steps = [[i, i + 1] for i in range(molecule.n_beads - 1)]
    return set(molecule.bead_names) == {"CA"} and molecule.bond_pairs.tolist() == steps


def _packed(movie: Movie, step: float) -> dict[str, Any]:
    rmsd = None if movie.rmsd is None else [round(10 * float(r), 1) for r in movie.rmsd]
    return {
        "frames": len(movie.positions),
        "interval": movie.interval,
        "rmsd": rmsd,
        "positions": base64.b64encode(_integers(movie.positions, step)).decode(),
    }


def _integers(positions: Float[np.ndarray, "f n 3"], step: float) -> bytes:
    """Little-endian 16-bit integers, frame after frame, bead after bead."""
    return np.rint(np.asarray(positions, float) / step).astype("<i2").tobytes()
