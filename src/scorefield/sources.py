"""The files that a dataset is prepared from: their hashes, the times they store, and what a stretch of one is called."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .allatom import STORES_TIMES, extension
from .errors import InputError
from .proteins import Protein
from .splitting import Stretch
from .storage import sha256


class Source(NamedTuple):
    """What was read of one file: raw frames `read`, `times` in ps of those kept."""

    path: Path
    read: int
    times: Float[np.ndarray, " f"]


def digests_of(paths: Sequence[Path]) -> dict[Path, str]:
    """SHA-256 of every input. Raises InputError if one is missing or unreadable."""
    digests: dict[Path, str] = {}
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path} does not exist or is not a file")
        try:
            digests[path] = sha256(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    return digests


def check_different(trajectories: Sequence[Path], digests: dict[Path, str]) -> None:
    """Raise InputError if a trajectory is given twice: it would be trained on and tested on."""
    seen: dict[str, Path] = {}
    for path in trajectories:
        if digests[path] in seen:
            raise InputError(f"{seen[digests[path]]} and {path} hold the same bytes; give every trajectory once")
        seen[digests[path]] = path


def known_interval(
    protein: Protein, trajectories: Sequence[Path], given: float | None, every: int | None
) -> tuple[float | None, list[str]]:
    """The interval in ps between the frames of a known collection, whose files do not say, and a note on it.

    `given` has its way; `every`: see `Collection.stride`, None where the files are not the collection.
    """
    if given is not None or every is None or any(extension(path) in STORES_TIMES for path in trajectories):
        return given, []
    delivered = float(protein.trajectories["interval_ps"])
    strided = f", times {every} as the files' names say" if every > 1 else ""
    return delivered * every, [
        f"frame interval taken to be {delivered * every:g} ps: {delivered:g} ps as {protein.name} is delivered{strided}; "
        "give --interval if it is another"
    ]


def common_interval(sources: Sequence[Source], given: float | None) -> tuple[float | None, list[str]]:
    """The interval in ps between the frames kept, and what there is to say about it."""
    stored = [s for s in sources if extension(s.path) in STORES_TIMES and len(s.times) > 1]
    found = {s.path.name: (s.times[-1] - s.times[0]) / (len(s.times) - 1) for s in stored}
    uneven = [s.path.name for s in stored if not _even(s.times)]
    if given is not None:
        differ = [n for n, dt in found.items() if n not in uneven and abs(dt - given) > 0.01 * given]
        return given, [
            f"times in {differ[0]} say {found[differ[0]]:.6g} ps between frames, not {given:g}"
        ] if differ else []
    advice = "interval unknown, so no autocorrelation times in ps and no kinetics; give --interval if you know it"
    if len(stored) < len(sources):
        return None, [
            f"frame {advice} (times are not stored in {next(s for s in sources if s not in stored).path.name})"
        ]
    if uneven:
        return None, [f"frame {advice} (times in {uneven[0]} are not evenly spaced)"]
    intervals = np.array(list(found.values()))
    if np.ptp(intervals) > 0.01 * intervals.min():
        raise InputError(
            f"files differ in frame interval ({intervals.min():g} to {intervals.max():g} ps); prepare them apart"
        )
    return float(np.float32(np.median(intervals))), []


def _even(times: Float[np.ndarray, " f"]) -> bool:
    steps = np.diff(times)
    rounding = 4 * np.finfo(np.float32).eps * np.abs(times).max()
    return bool(steps.min() > 0 and np.ptp(steps) <= 0.01 * steps.mean() + rounding)


def label(stretch: Stretch, sources: Sequence[Source], stride: int) -> str:
    """The file's name, with the raw frames [first:beyond last] where a stretch is not the whole file."""
    source = sources[stretch.chain]
    whole = stretch.stop - stretch.start == len(source.times)
    frames = "" if whole else f"[{stretch.start * stride}:{min(stretch.stop * stride, source.read)}]"
    return source.path.name + frames
