"""The command `scorefield refine`: a model corrected by its own simulations."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from . import options
from .console import progress, say, working
from .devices_cli import computing
from .ending import resumable
from .options import WHOLE, Json, Out, Resume, Run, Seed


@computing
def refine(
    run: Run,
    /,
    *,
    reference: Annotated[Path, Parameter(help="DATASET folder that it was trained on; the training chains are used.")],
    out: Out = Path("refined"),
    rounds: Annotated[int, WHOLE, Parameter(help="Rounds of simulation and correction.")] = 40,
    time_ps: Annotated[float, Parameter(help="Length of each replica in a round, ps.")] = 25.0,
    replicas: Annotated[int, WHOLE, Parameter(help="Replicas, going on from round to round.")] = 200,
    seed: Seed = 0,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Correct a trained model by what its own simulations make of the data, until they stay: a new RUN folder.

    For chains whose simulations drift away from what the samples show. Takes about as long as training. Stop it at any time;
    --resume goes on exactly.

    Example: scorefield refine run --reference data -o refined
    """
    options.positive(rounds=rounds, time_ps=time_ps, replicas=replicas)
    with working("loading"):
        from .model import load_model
        from .refine import Course
        from .refinement import refine_into
        from .systems import dataset_of

        model, dataset, course = load_model(run), dataset_of(reference), Course(rounds, time_ps, replicas, seed)
    with resumable(out), progress("refining", rounds) as update:
        on_round = lambda r: update(r.number, r.words())
        refined = refine_into(out, model, dataset, course, resume=resume, on_round=on_round)
    found = refined.training["refined"]
    first, last = (sum(found["mismatch"][k]) / len(found["levels_nm"]) for k in (0, -1))
    text = f"{out}: mean mismatch {first:.2f} in the first round, {last:.2f} in the last; {found['lost']} lost"
    say({"run": str(out), **found}, as_json, text, [])
