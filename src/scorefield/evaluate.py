"""The comparison: every candidate against the held-out part of a dataset, and beside each value its floor.

The reference is the dataset's test split. The floor is what the frames of the other splits, which are true but from
other chains, score in the candidate's place: candidate and floor are thinned to the same number of frames.
"""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np

from . import landscapes, marginals
from .dataset import SPLITS, Dataset
from .distributions import effective_frames
from .errors import InputError
from .extras import versions
from .frames import Frames
from .health import FEW_FRAMES, dataset_warnings, frames_warnings
from .kinetics import REFERENCE_AT_FAULT, dynamics, reference_notes
from .metrics import METRICS, TIMED, Metric
from .movies import movies
from .report import Entry, Report, Source
from .staying import staying
from .trajectory import Trajectory

MAXIMUM_FRAMES = 50_000
"""Frames of a candidate, and of its floor, that are compared at most: more would hide a floor's meaning."""

_FEW_LOST = (
    1e-3  # of samples, which are left out: no distribution changes by more; a lost replica is always one too many
)
_LARGE_FLOOR = 0.02  # of a Jensen-Shannon divergence: errors below it, a blurred basin say, go unseen


@dataclass(frozen=True, eq=False)
class _Case:
    """What one candidate's metrics need.

    `full`: its finite frames; `thinned`: those compared; `floor`: as many true frames; `others`: all true frames that
    are not the reference's, in time order; `truth`: the reference.
    """

    full: Trajectory
    thinned: Trajectory
    floor: Trajectory
    others: Trajectory
    truth: Trajectory


def evaluate(
    reference: Dataset, candidates: dict[str, Frames], on_progress: Callable[[float, str], None] | None = None
) -> Report:
    """Compare `candidates` with the test split of `reference`: every metric with its floor, its unit and its definition.

    `on_progress` is told which share is done, and what is at work.
    Raises InputError if there is no candidate, a candidate has no finite frame or is of another molecule, or the
    dataset lacks a test split or any other one.
    """
    if not candidates:
        raise InputError("nothing to compare: name at least one folder of frames")
    truth, others = reference.split("test"), _floor_frames(reference)
    about = _reference_warnings(reference, truth)
    warnings: dict[str, list[str]] = {name: [] for name in candidates}
    full = {name: _finite(name, frames, truth, warnings[name]) for name, frames in candidates.items()}
    thinned = {name: t.thin(min(MAXIMUM_FRAMES, t.n_frames, others.n_frames)) for name, t in full.items()}
    floors = {n: others.thin(n) for n in {t.n_frames for t in thinned.values()}}
    cases = {name: _Case(full[name], t, floors[t.n_frames], others, truth) for name, t in thinned.items()}
    metrics = _metrics(cases, warnings, on_progress or (lambda share, title: None))
    if any(t.interval is not None for t in full.values()):
        about += reference_notes(truth, others)
    for name, frames in candidates.items():
        metrics[name]["lost"] = _lost(frames, truth)
        warnings[name] = list(dict.fromkeys(warnings[name]))  # several metrics, one obstacle
        warnings[name] += _candidate_warnings(name, frames, cases[name], metrics[name])
        _attach(metrics[name], about + warnings[name])
    return Report(
        molecule=truth.molecule,
        dataset=_describe(reference),
        sources={name: _source(frames) for name, frames in candidates.items()},
        metrics=metrics,
        surfaces=marginals.surfaces(truth, thinned),
        bonds=marginals.bonds(truth, thinned),
        angles=marginals.angles(truth, thinned),
        distances=marginals.far_distances(truth, thinned),
        profiles=landscapes.profiles(truth, thinned),
        plane=landscapes.plane(truth, thinned),
        maps=landscapes.maps(truth, thinned),
        kinetics=landscapes.kinetics(truth, others, full),
        staying={
            name: staying(t, candidates[name].started, truth, others)
            for name, t in full.items()
            if candidates[name].kind == "simulation" and t.interval is not None
        },
        movies=movies(truth, full),
        warnings=tuple(w for found in (about, *warnings.values()) for w in found),
        versions=versions("scorefield", "jax", "numpy") | {"python": platform.python_version()},
    )


def _floor_frames(dataset: Dataset) -> Trajectory:
    others = [i for i, split in enumerate(dataset.splits) if split != "test"]
    if not others:
        raise InputError("the dataset has only test chains, so no floor can be had; prepare it with other --split")
    return dataset.trajectory.select_chains(others)


def _finite(name: str, frames: Frames, truth: Trajectory, warnings: list[str]) -> Trajectory:
    """The candidate's finite frames, after checking that it can be compared at all."""
    trajectory = frames.trajectory
    if not trajectory.molecule.same_as(truth.molecule):
        raise InputError(
            f"{name} is of another molecule ({trajectory.molecule.name}, {trajectory.molecule.n_beads} beads) than the "
            f"reference ({truth.molecule.name}, {truth.molecule.n_beads} beads); beads, residues and bonds must agree"
        )
    good = np.asarray(np.isfinite(trajectory.positions).all(axis=(1, 2)))
    if not good.any():
        raise InputError(f"{name} holds no finite frame; simulate or sample again")
    if good.all():
        return trajectory
    warnings.append(f"{name}: {np.sum(~good)} of {len(good)} frames were not finite (NaN) and are left out")
    starts = np.cumsum((0, *trajectory.chain_lengths))
    left = tuple(int(good[a:b].sum()) for a, b in pairwise(starts))
    weights = None if trajectory.weights is None else trajectory.weights[good]
    lengths = tuple(n for n in left if n)
    return replace(trajectory, positions=trajectory.positions[good], chain_lengths=lengths, weights=weights)


def _metrics(
    cases: dict[str, _Case], warnings: dict[str, list[str]], on_progress: Callable[[float, str], None]
) -> dict[str, dict[str, Entry]]:
    """The entries of every candidate; what has none, although one would expect it, is named in `warnings`."""
    metrics: dict[str, dict[str, Entry]] = {name: {} for name in cases}
    for k, (key, metric) in enumerate((METRICS | TIMED).items()):
        on_progress(k / (len(METRICS) + len(TIMED)), metric.title)
        # candidates of as many frames share their floor, all share the reference's own
        function = cache(metric.function)
        for name, case in cases.items():
            if not metric.applies(case.truth.molecule):
                continue
            obstacle = _obstacle(metric, case)
            if obstacle is None:
                entry = _entry(metric, function, case)
                if all(np.isfinite(v) for v in entry.values() if isinstance(v, float)):
                    metrics[name][key] = entry
                    continue
                obstacle = f"{key} cannot be computed from these frames and is left out"
            if obstacle and not obstacle.startswith(REFERENCE_AT_FAULT):
                warnings[name].append(f"{name}: {obstacle}")
    return metrics


def _obstacle(metric: Metric, case: _Case) -> str | None:
    """Why candidate or floor cannot be compared; what is the reference's own fault is said once, by `reference_notes`."""
    if metric.obstacle is None:
        return None
    found = metric.obstacle(case.full if metric.ordered else case.thinned, case.truth)
    if found is None and metric.ordered and metric.obstacle(case.others, case.truth) is not None:
        return "the reference's other chains allow no floor of kinetics"
    return found


def _attach(entries: dict[str, Entry], warnings: list[str]) -> None:
    """No number without what speaks against it."""
    for entry in entries.values():
        if warnings:
            entry["warnings"] = warnings


def _entry(metric: Metric, function: Callable[[Trajectory, Trajectory], float], case: _Case) -> Entry:
    candidate, floor = (case.full, case.others) if metric.ordered else (case.thinned, case.floor)
    entry: Entry = {
        "value": function(candidate, case.truth),
        "floor": function(floor, case.truth),
        "n": candidate.n_frames,
        "n_reference": case.truth.n_frames,
        "definition": metric.definition,
        "title": metric.title,
        "question": metric.question,
        "topic": metric.topic,
        "unit": metric.unit,
        "ideal": function(case.truth, case.truth) if metric.ideal is None else metric.ideal,
        "tolerance": metric.tolerance,
    }
    if metric.error is not None:
        entry |= _errors(metric.error, case)
    if metric.details is not None:
        entry |= metric.details(case.full, case.truth)
    if "time_factor" in entry:
        entry["floor_time_factor"] = dynamics(case.others, case.truth).factor
    return entry


def _errors(error: Callable[[Trajectory, Trajectory], float | None], case: _Case) -> Entry:
    """Standard errors of value and ideal; two of the ideal's cannot be told from nothing.

    The candidate's own error excuses nothing: else a simulation that hardly moved would pass.
    """
    own, ideal_error = (error(t, case.truth) for t in (case.full, case.truth))
    found = {"error": own, "ideal_error": ideal_error, "tolerance": 2 * (ideal_error or 0.0)}
    return {key: value for key, value in found.items() if value is not None}


def _lost(frames: Frames, truth: Trajectory) -> Entry:
    return {
        "value": frames.lost,
        "floor": 0,
        "n": frames.started,
        "n_reference": truth.n_chains,
        "definition": "replicas (of samples: single ones) that became non-finite or left the physical range, any bond "
        "more than 20 standard deviations off; n counts those started",
        "title": "Lost replicas" if frames.kind == "simulation" else "Lost samples",
        "question": f"Did every {'replica' if frames.kind == 'simulation' else 'sample'} stay intact?",
        "topic": "stability",
        "unit": "",
        "ideal": 0,
        "tolerance": 0 if frames.kind == "simulation" else _FEW_LOST * frames.started,
    }


def _reference_warnings(dataset: Dataset, truth: Trajectory) -> list[str]:
    found = [f"reference: {w}" for w in dataset_warnings(dataset)]
    if truth.weights is not None:
        found.append(f"the reference is reweighted: {effective_frames(truth):.0f} effective of {truth.n_frames} frames")
    return found


def _candidate_warnings(name: str, frames: Frames, case: _Case, entries: dict[str, Entry]) -> list[str]:
    found, temperature, truth, thinned = [], frames.trajectory.temperature, case.truth, case.thinned
    if abs(temperature - truth.temperature) > 0.5:
        found.append(f"{name} is at {temperature:g} K, the reference at {truth.temperature:g} K: they should differ")
    least, consequence = FEW_FRAMES["test"]
    if thinned.n_frames < least:
        found.append(f"{name} is compared by {thinned.n_frames} frames only: {consequence}")
    found += [f"{name}: {w}" for w in frames_warnings(case.full, truth)]
    if frames.kind == "simulation" and frames.trajectory.n_chains == 1:
        found.append(f"{name} is one chain only: nothing tells whether it has forgotten its start")
    if frames.lost:
        losses = frames.settings.get("lost_replicas")
        first = f"; {losses[0]}" if losses and isinstance(losses, list) else ""
        found.append(f"{name} lost {frames.lost} of {frames.started}: what is compared are the survivors{first}")
    large = [key for key, e in entries.items() if key.endswith("_js") and e["floor"] > _LARGE_FLOOR]
    if large:
        found.append(f"{name}: the floor of {', '.join(large)} is above {_LARGE_FLOOR}; smaller errors go unseen")
    return found


def _describe(dataset: Dataset) -> dict:
    lengths = dataset.trajectory.chain_lengths
    counts: dict[str, Sequence[int]] = {
        split: [n for n, s in zip(lengths, dataset.splits, strict=True) if s == split] for split in SPLITS
    }
    return {
        "map": dataset.map,
        "temperature_K": dataset.trajectory.temperature,
        "interval_ps": dataset.trajectory.interval,
        "splits": {split: {"chains": len(c), "frames": sum(c)} for split, c in counts.items() if c},
        "provenance": dataset.provenance,
        "equilibrium": dataset.equilibrium,
    }


def _source(frames: Frames) -> Source:
    trajectory = frames.trajectory
    return Source(
        frames.kind,
        trajectory.n_frames,
        trajectory.n_chains,
        trajectory.temperature,
        trajectory.interval,
        frames.started,
        frames.lost,
        frames.settings,
    )
