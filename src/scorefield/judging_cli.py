"""The commands `scorefield evaluate` and `scorefield verify`: how true frames are, and how far a model can be trusted."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .console import progress, say, table, working
from .devices_cli import computing
from .options import WHOLE, Json, Out, Run, Seed, WhichMolecule


@computing
def evaluate(
    candidates: Annotated[list[str], Parameter(help="NAME=FOLDER of samples or a simulation, as many as wanted.")],
    /,
    *,
    reference: Annotated[Path, Parameter(help="DATASET folder; its test chains are the reference.")],
    out: Out = Path("report"),
    verified: Annotated[Path | None, Parameter(help="Folder that `verify` wrote, to be shown in the report.")] = None,
    as_json: Json = False,
) -> None:
    """Compare samples and simulations with held-out reference frames: metrics.json, index.html and its figures for print.

    Example: scorefield evaluate samples=samples simulation=simulation --reference data -o report
    """
    with working("loading"):
        from .commands import evaluate_command
        from .report import metric_table

    report = evaluate_command(candidates, reference, out, verified, progress)
    if as_json:
        return say(report.metrics, True, "", list(report.warnings))
    table(metric_table(report))
    say({}, False, f"{out / 'index.html'}", list(report.warnings))


@computing
def verify(
    run: Run,
    /,
    *,
    out: Out = Path("verified"),
    molecule: WhichMolecule = None,
    reference: Annotated[
        Path | None, Parameter(help="DATASET folder; without it, samples of the model stand for its frames.")
    ] = None,
    samples: Annotated[int | None, WHOLE, Parameter(help="Samples (default: 10,000, fewer for over 20 beads).")] = None,
    replicas: Annotated[int | None, WHOLE, Parameter(help="Replicas (default: 128, fewer for over 20 beads).")] = None,
    time_ps: Annotated[float | None, Parameter(help="Length of each replica, ps (default: 20).")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Check how far a model can be trusted as a force field: PASS or FAIL, verify.json and index.html.

    A FAIL is a finding, not an error: the exit code is 0 all the same. More samples, replicas and time look closer.

    Example: scorefield verify run --reference data -o verified
    """
    with working("loading"):
        from .commands import verify_command
        from .verify.page import check_table

    checks, notes = verify_command(run, reference, out, samples, replicas, time_ps, seed, progress, molecule)
    if as_json:
        summary = {c.name: {"verdict": c.verdict, "value": c.value, "threshold": c.threshold} for c in checks}
        return say(summary, True, "", notes)
    table(check_table(checks))
    say({}, False, f"{out / 'index.html'}", notes)
