"""The command line. Libraries are imported inside the commands: `--help` must not wait for JAX."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from . import options
from .backmap_cli import backmap
from .console import progress, say, table
from .devices_cli import computing, cooperating
from .ending import ending, resumable
from .errors import InputError
from .launch_cli import launching
from .options import (
    COUNT,
    WHOLE,
    Block,
    ConfigName,
    ConfigSeed,
    Exchange,
    Forces,
    Json,
    Level,
    Out,
    Resume,
    Seed,
    Steps,
)
from .prepare_cli import prepare
from .reference_cli import reference
from .runtime import keep_compiled, quiet

app = App(
    name="scorefield",
    help="Coarse-grained molecular force fields learned by denoising diffusion. Units: nm, ps, Da, kJ/mol, K.",
    version_flags=["--version"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `main` says how to go on
)


app.command(prepare)
app.command(reference)
app.command(launching(lambda words: app.parse_args(words, print_error=False, exit_on_error=False)))
app.command(backmap)


@app.command
@cooperating
def train(
    dataset: Annotated[Path, Parameter(help="DATASET folder.")],
    /,
    *,
    out: Out,
    config: ConfigName = None,
    steps: Steps = None,
    forces: Forces = False,
    seed: ConfigSeed = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Train an energy on a DATASET into a RUN folder. Stop it at any time; --resume goes on exactly.

    Example: scorefield train data -o run
    """
    from .dataset import load_dataset
    from .processes import alike
    from .storage import refuse_existing
    from .train import train as fit

    with alike():
        if not resume:
            refuse_existing(out)
        data, settings = load_dataset(dataset), options.configured(config, seed, steps, forces)
    with resumable(out), progress("training", settings.training.steps) as update:
        model = fit(
            data,
            settings,
            out,
            resume=resume,
            dataset_name=str(dataset),
            on_progress=lambda p: update(p.step, p.words()),
        )
    done = {"run": str(out)} | {k: v for k, v in model.training.items() if k != "provenance"}
    text = f"{out}: validation loss {done['validation_loss']:.4f} after {done['seconds']:.0f} s"
    say(done, as_json, text, model.training["warnings"])


@app.command
@computing
def sample(
    run: Annotated[Path, Parameter(help="RUN folder.")],
    /,
    *,
    number: Annotated[int, WHOLE, Parameter(name=["-n", "--number"], help="Number of samples.")],
    out: Out,
    seed: Seed = 0,
    steps: Annotated[
        int | None, WHOLE, Parameter(help="Noise levels of the sampler, in place of the configured.", validator=COUNT)
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw independent equilibrium samples into a folder with samples.xtc.

    Example: scorefield sample run -n 10000 -o samples
    """
    from .frames import write_frames
    from .model import load_model
    from .simulate import sample as draw
    from .storage import refuse_existing

    options.positive(number=number)
    model = load_model(run)
    refuse_existing(out)
    with progress("sampling", number) as update:
        frames = draw(model, number, seed, steps, on_batch=lambda done: update(done, ""))
        write_frames(frames, out)
    say(options.summary(out, frames), as_json, f"{out}: {frames.trajectory.n_frames} samples, {frames.lost} lost", [])


@app.command
@cooperating
def simulate(
    run: Annotated[Path, Parameter(help="RUN folder.")],
    /,
    *,
    out: Out,
    time_ns: Annotated[float, Parameter(help="Length of each replica, ns.")],
    replicas: Annotated[int, WHOLE, Parameter(help="Independent replicas, run side by side.")] = 100,
    save_ps: Annotated[float, Parameter(help="Time between kept frames, ps.")] = 1.0,
    dt_fs: Annotated[float | None, Parameter(help="Time step, fs (default: the configuration's).")] = None,
    friction: Annotated[float | None, Parameter(help="Friction, 1/ps (default: the configuration's).")] = None,
    level: Level = None,
    temperature: Annotated[float | None, Parameter(help="Thermostat, K (default: the data's).")] = None,
    start: Annotated[
        str, Parameter(help="'samples' (drawn from the model), a PDB of beads, a folder of frames, or a DATASET.")
    ] = ("samples"),
    exchange: Exchange = None,
    seed: Seed = 0,
    block: Block = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Langevin dynamics with the model as the force field: replica_0000.xtc ... Stop it at any time; --resume goes on.

    With --resume, --time-ns is still the time in all: a longer one extends a simulation that has ended.

    Example: scorefield simulate run --replicas 100 --time-ns 10 -o simulation
    """
    from .commands import simulate_command

    options.positive(replicas=replicas, time_ns=time_ns, save_ps=save_ps, dt_fs=dt_fs, temperature=temperature)
    options.positive(level=None if level == "auto" else level)
    if friction is not None and not 0 <= friction < float("inf"):
        raise InputError(f"--friction is {friction:g}; it must be 0 or more (1/ps)")
    with resumable(out):
        words = {"save_ps": save_ps, "dt_fs": dt_fs, "friction": friction, "temperature": temperature, "seed": seed}
        words["exchange"] = options.levels(exchange)
        found = simulate_command(run, out, time_ns * 1000, replicas, start, level, block, resume, progress, **words)
    if found is None:
        return
    frames, notes = found
    text = f"{out}: {frames.trajectory.n_frames} frames of {replicas} replicas, {frames.lost} lost"
    say(options.summary(out, frames), as_json, text, notes)


@app.command
@computing
def evaluate(
    candidates: Annotated[list[str], Parameter(help="NAME=FOLDER of frames, as many as wanted.")],
    /,
    *,
    reference: Annotated[Path, Parameter(help="DATASET folder; its test chains are the reference.")],
    out: Out,
    verified: Annotated[Path | None, Parameter(help="Folder that `verify` wrote, to be shown in the report.")] = None,
    as_json: Json = False,
) -> None:
    """Compare samples and simulations with held-out reference frames: metrics.json and index.html.

    Example: scorefield evaluate samples=samples simulation=simulation --reference data -o report
    """
    from .commands import evaluate_command
    from .report import metric_table

    report = evaluate_command(candidates, reference, out, verified, progress)
    if as_json:
        return say(report.metrics, True, "", list(report.warnings))
    table(metric_table(report))
    say({}, False, f"{out / 'index.html'}", list(report.warnings))


@app.command
@computing
def verify(
    run: Annotated[Path, Parameter(help="RUN folder.")],
    /,
    *,
    out: Out,
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
    from .commands import verify_command
    from .verify.page import check_table

    checks, notes = verify_command(run, reference, out, samples, replicas, time_ps, seed, progress)
    if as_json:
        summary = {c.name: {"verdict": c.verdict, "value": c.value, "threshold": c.threshold} for c in checks}
        return say(summary, True, "", notes)
    table(check_table(checks))
    say({}, False, f"{out / 'index.html'}", notes)


@app.command
@computing
def run(
    system: Annotated[str, Parameter(help="A built-in system (see `systems`), or a DATASET folder.")],
    /,
    *,
    out: Out,
    config: ConfigName = None,
    steps: Steps = None,
    samples: Annotated[int, WHOLE, Parameter(help="Independent samples.")] = 50_000,
    replicas: Annotated[int, WHOLE, Parameter(help="Replicas of the simulation.")] = 200,
    time_ps: Annotated[float, Parameter(help="Length of each replica, ps.")] = 200.0,
    save_ps: Annotated[float, Parameter(help="Time between kept frames, ps.")] = 0.8,
    forces: Forces = False,
    seed: ConfigSeed = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """All of it: train, sample, simulate, evaluate; ends with the metric table and the path of the report.

    Example: scorefield run ala2 -o demo/ala2
    """
    from .commands import run_command
    from .report import metric_table

    options.positive(samples=samples, replicas=replicas, time_ps=time_ps, save_ps=save_ps)
    settings = options.configured(config, seed, steps, forces)
    with resumable(out):
        report = run_command(system, out, settings, samples, replicas, time_ps, save_ps, resume, progress)
    if as_json:
        return say(report.metrics, True, "", list(report.warnings))
    table(metric_table(report))
    say({}, False, f"report: {out / 'report' / 'index.html'}", list(report.warnings))


@app.command
def systems(*, as_json: Json = False) -> None:
    """List what is built in, and known proteins whose trajectories are to be had elsewhere."""
    from .proteins import protein, proteins
    from .systems import systems as built_in

    found = built_in()
    known = {name: f"{protein(name).description}; {protein(name).how_to_get()}" for name in proteins()}
    say(found | known, as_json, "\n".join(f"{name}: {text}" for name, text in (found | known).items()), [])


@app.command
def info(
    folder: Annotated[Path, Parameter(help="A DATASET, RUN, samples, simulation, verification or report folder.")],
    /,
    *,
    as_json: Json = False,
) -> None:
    """Say what a folder is, from what it was made, with which settings."""
    from .commands import describe_folder

    found = describe_folder(folder)
    say(found, as_json, "\n".join(f"{key}: {value}" for key, value in found.items()), [])


def main() -> None:
    """Run the command; errors and interrupts end as `ending` says."""
    quiet()
    keep_compiled()
    with ending(CycloptsError):
        app(print_error=False, exit_on_error=False)
