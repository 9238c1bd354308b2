"""The command line. Libraries are imported inside the commands: `--help` must not wait for JAX."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter, validators

from .console import progress, say, table
from .ending import ending, resumable
from .errors import InputError
from .runtime import keep_compiled, quiet

app = App(
    name="scorefield",
    help="Coarse-grained molecular force fields learned by denoising diffusion. Units: nm, ps, Da, kJ/mol, K.",
    version_flags=["--version"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `main` says how to go on
)

Out = Annotated[Path, Parameter(name=["-o", "--out"], help="New folder to write; an existing one is refused.")]
_SEEDS = validators.Number(gte=0, lt=2**31)
Seed = Annotated[
    int, Parameter(help="Seed of all random numbers: the same seed gives the same numbers.", validator=_SEEDS)
]
ConfigSeed = Annotated[
    int | None, Parameter(help="Seed of all random numbers, in place of the configuration's.", validator=_SEEDS)
]
ConfigName = Annotated[str | None, Parameter(help="TOML file, or a built-in name such as paper/alanine.")]
_COUNT = validators.Number(gte=1)
Steps = Annotated[int | None, Parameter(help="Training steps, in place of the configuration's.", validator=_COUNT)]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the result as JSON.")]
Resume = Annotated[bool, Parameter(negative="", help="Go on with what -o holds already.")]


@app.command
def prepare(
    trajectories: Annotated[list[Path], Parameter(help="XTC, DCD, TRR, NetCDF, HDF5 or PDB; each file is one chain.")],
    /,
    *,
    map: Annotated[
        str, Parameter(help="ca, backbone5 (capped residue), backbone, an mdtraj selection, or a JSON of groups.")
    ],
    temperature: Annotated[float, Parameter(help="Temperature of the trajectories, K.")],
    out: Out,
    top: Annotated[Path | None, Parameter(help="Topology (PDB, ...), unless the trajectory holds one.")] = None,
    stride: Annotated[int, Parameter(help="Keep every N-th frame.")] = 1,
    interval: Annotated[float | None, Parameter(help="Time between the files' frames, ps, if they do not say.")] = None,
    weights: Annotated[Path | None, Parameter(help="One weight a frame (.npy or text), for reweighted data.")] = None,
    split: Annotated[tuple[float, float, float], Parameter(help="Shares of chains for training, validation, test.")] = (
        0.7,
        0.1,
        0.2,
    ),
    as_json: Json = False,
) -> None:
    """Make a DATASET of coarse-grained frames from all-atom trajectories, and say whether it looks like equilibrium.

    Example: scorefield prepare run1.xtc run2.xtc --top protein.pdb --map ca --temperature 300 -o data
    """
    from .prepare import prepare as make

    with progress("reading", len(trajectories)) as update:
        dataset = make(
            trajectories,
            top,
            map,
            temperature,
            out,
            stride=stride,
            interval=interval,
            weights=weights,
            split=split,
            on_progress=lambda file, n, frames: update(file, f"{frames} frames"),
        )
    equilibrium = dataset.equilibrium or {}
    notes = [*dataset.provenance.get("warnings", ()), *equilibrium.get("warnings", ())]
    say(
        {"dataset": str(out), "frames": dataset.trajectory.n_frames, "equilibrium": equilibrium, "warnings": notes},
        as_json,
        f"{out}: {dataset.trajectory.n_frames} frames of {dataset.molecule.n_beads} beads, "
        f"{dataset.trajectory.n_chains} chains\n{equilibrium.get('verdict', '')}",
        notes,
    )


@app.command
def train(
    dataset: Annotated[Path, Parameter(help="DATASET folder.")],
    /,
    *,
    out: Out,
    config: ConfigName = None,
    steps: Steps = None,
    seed: ConfigSeed = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Train an energy on a DATASET into a RUN folder. Stop it at any time; --resume goes on exactly.

    Example: scorefield train data -o run
    """
    from .storage import refuse_existing
    from .train import train as fit

    if not resume:
        refuse_existing(out)
    data, settings = _dataset(dataset), _config(config, seed, steps)
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
    say(done, as_json, f"{out}: validation loss {done['validation_loss']:.4f} after {done['seconds']:.0f} s", [])


@app.command
def sample(
    run: Annotated[Path, Parameter(help="RUN folder.")],
    /,
    *,
    number: Annotated[int, Parameter(name=["-n", "--number"], help="Number of samples.")],
    out: Out,
    seed: Seed = 0,
    steps: Annotated[
        int | None, Parameter(help="Noise levels of the sampler, in place of the configured.", validator=_COUNT)
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

    _positive("-n", number)
    model = load_model(run)
    refuse_existing(out)
    with progress("sampling", number) as update:
        frames = draw(model, number, seed, steps, on_batch=lambda done: update(done, ""))
        write_frames(frames, out)
    say(_summary(out, frames), as_json, f"{out}: {frames.trajectory.n_frames} samples, {frames.lost} lost", [])


@app.command
def simulate(
    run: Annotated[Path, Parameter(help="RUN folder.")],
    /,
    *,
    out: Out,
    time_ns: Annotated[float, Parameter(help="Length of each replica, ns.")],
    replicas: Annotated[int, Parameter(help="Independent replicas, run side by side.")] = 100,
    save_ps: Annotated[float, Parameter(help="Time between kept frames, ps.")] = 1.0,
    dt_fs: Annotated[float | None, Parameter(help="Time step, fs (default: the configuration's).")] = None,
    friction: Annotated[float | None, Parameter(help="Friction, 1/ps (default: the configuration's).")] = None,
    level: Annotated[float | None, Parameter(help="Noise level the force is read off at, nm.")] = None,
    temperature: Annotated[float | None, Parameter(help="Thermostat, K (default: the data's).")] = None,
    start: Annotated[
        str, Parameter(help="'samples' (drawn from the model), or a PDB/XTC-readable or samples folder.")
    ] = ("samples"),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Langevin dynamics with the model as the force field: replica_0000.xtc ... in a new folder.

    Example: scorefield simulate run --replicas 100 --time-ns 10 -o simulation
    """
    from .commands import simulate_command

    for flag, value in (("--replicas", replicas), ("--time-ns", time_ns), ("--save-ps", save_ps)):
        _positive(flag, value)
    for flag, value in (("--dt-fs", dt_fs), ("--level", level), ("--temperature", temperature)):
        if value is not None:
            _positive(flag, value)
    if friction is not None and not 0 <= friction < float("inf"):
        raise InputError(f"--friction is {friction:g}; it must be 0 or more (1/ps)")
    frames, notes = simulate_command(
        run, out, time_ns * 1000, replicas, save_ps, dt_fs, friction, level, temperature, start, seed, progress
    )
    text = f"{out}: {frames.trajectory.n_frames} frames of {replicas} replicas, {frames.lost} lost"
    say(_summary(out, frames), as_json, text, notes)


@app.command
def evaluate(
    candidates: Annotated[list[str], Parameter(help="NAME=FOLDER of frames, as many as wanted.")],
    /,
    *,
    reference: Annotated[Path, Parameter(help="DATASET folder; its test chains are the reference.")],
    out: Out,
    as_json: Json = False,
) -> None:
    """Compare samples and simulations with held-out reference frames: metrics.json and index.html.

    Example: scorefield evaluate samples=samples simulation=simulation --reference data -o report
    """
    from .commands import evaluate_command
    from .report import metric_table

    report = evaluate_command(candidates, reference, out, progress)
    if as_json:
        return say(report.metrics, True, "", list(report.warnings))
    table(metric_table(report))
    say({}, False, f"{out / 'index.html'}", list(report.warnings))


@app.command
def verify(
    run: Annotated[Path, Parameter(help="RUN folder.")],
    /,
    *,
    out: Out,
    reference: Annotated[
        Path | None, Parameter(help="DATASET folder; without it, samples of the model stand for its frames.")
    ] = None,
    samples: Annotated[int, Parameter(help="Independent samples.")] = 10_000,
    replicas: Annotated[int, Parameter(help="Replicas of the simulation.")] = 128,
    time_ps: Annotated[float, Parameter(help="Length of each replica, ps.")] = 20.0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Check how far a model can be trusted as a force field: PASS or FAIL, verify.json and index.html.

    A FAIL is a finding, not an error: the exit code is 0 all the same. More samples, replicas and time look closer.

    Example: scorefield verify run --reference data -o verified
    """
    from .commands import verify_command
    from .verify import Sizes
    from .verify.page import check_table

    sizes = Sizes(samples=samples, replicas=replicas, time_ps=time_ps)
    checks = verify_command(run, reference, out, sizes, seed, progress)
    if as_json:
        summary = {c.name: {"verdict": c.verdict, "value": c.value, "threshold": c.threshold} for c in checks}
        return say(summary, True, "", [])
    table(check_table(checks))
    say({}, False, f"{out / 'index.html'}", [])


@app.command
def run(
    system: Annotated[str, Parameter(help="A built-in system (see `systems`), or a DATASET folder.")],
    /,
    *,
    out: Out,
    config: ConfigName = None,
    steps: Steps = None,
    samples: Annotated[int, Parameter(help="Independent samples.")] = 50_000,
    replicas: Annotated[int, Parameter(help="Replicas of the simulation.")] = 200,
    time_ps: Annotated[float, Parameter(help="Length of each replica, ps.")] = 200.0,
    save_ps: Annotated[float, Parameter(help="Time between kept frames, ps.")] = 0.8,
    seed: ConfigSeed = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """All of it: train, sample, simulate, evaluate; ends with the metric table and the path of the report.

    Example: scorefield run ala2 -o demo/ala2
    """
    from .commands import run_command
    from .report import metric_table

    for flag, value in (
        ("--samples", samples),
        ("--replicas", replicas),
        ("--time-ps", time_ps),
        ("--save-ps", save_ps),
    ):
        _positive(flag, value)
    settings = _config(config, seed, steps)
    with resumable(out):
        report = run_command(system, out, settings, samples, replicas, time_ps, save_ps, resume, progress)
    if as_json:
        return say(report.metrics, True, "", list(report.warnings))
    table(metric_table(report))
    say({}, False, f"report: {out / 'report' / 'index.html'}", list(report.warnings))


@app.command
def systems(*, as_json: Json = False) -> None:
    """List what is built in."""
    from .systems import systems as built_in

    found = built_in()
    say(found, as_json, "\n".join(f"{name}: {text}" for name, text in found.items()), [])


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


def _dataset(path: Path) -> Any:
    from .dataset import load_dataset

    return load_dataset(path)


def _config(name: str | None, seed: int | None, steps: int | None) -> Any:
    from .config import config_from, load_config

    settings = load_config(name).model_dump()
    if seed is not None:
        settings["seed"] = seed
    if steps is not None:
        settings["training"]["steps"] = steps
    return config_from(settings, "--seed or --steps")


def _summary(out: Path, frames: Any) -> dict[str, Any]:
    return {"folder": str(out), "frames": frames.trajectory.n_frames, "lost": frames.lost, "settings": frames.settings}


def _positive(flag: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise InputError(f"{flag} is {value:g}; it must be a positive number")


def main() -> None:
    """Run the command; errors and interrupts end as `ending` says."""
    quiet()
    keep_compiled()
    with ending(CycloptsError):
        app(print_error=False, exit_on_error=False)
