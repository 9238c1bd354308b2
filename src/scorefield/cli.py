"""The command line. Libraries are imported inside the commands: `--help` must not wait for JAX."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from . import options
from .about_cli import info, systems
from .backmap_cli import backmap
from .console import progress, say, table, working
from .devices_cli import computing, cooperating
from .ending import ending, resumable
from .errors import InputError
from .judging_cli import evaluate, verify
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
    Run,
    Seed,
    Steps,
    WhichMolecule,
)
from .prepare_cli import prepare
from .reference_cli import reference
from .refine_cli import refine
from .runtime import keep_compiled, quiet

app = App(
    name="scorefield",
    help="Coarse-grained molecular force fields learned by denoising diffusion. Units: nm, ps, Da, kJ/mol, K.",
    version_flags=["--version"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `main` says how to go on
)


launch = launching(lambda words: app.parse_args(words, print_error=False, exit_on_error=False))
for command in (prepare, reference, refine, evaluate, verify, backmap, launch, systems, info):
    app.command(command)


@app.command
@cooperating
def train(
    datasets: Annotated[
        list[Path],
        Parameter(help="DATASET folder, as `prepare` writes it; of several, one model of all their molecules."),
    ],
    /,
    *,
    out: Out = Path("run"),
    initial: Annotated[
        Path | None,
        Parameter(
            name="--from",
            help="Fine-tune this RUN (or built-in model) on DATASET: a quarter of the steps, from its weights.",
        ),
    ] = None,
    config: ConfigName = None,
    steps: Steps = None,
    forces: Forces = False,
    seed: ConfigSeed = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Train an energy on a DATASET into a RUN folder: minutes on a CPU for a peptide.

    Stop it at any time; --resume goes on exactly. Needs no forces. On several datasets one model is trained that serves any
    molecule of such beads and residues: `sample` and `simulate` then ask for it with --molecule.

    Example: scorefield train data -o run

    More data for a trained model: scorefield train more -o better --from run

    Many molecules: scorefield train ala gly val -o shared
    """
    with working("loading"):
        from .training_command import train_command
    with resumable(out), progress("training", 1.0) as update:
        done, notes = train_command(
            datasets,
            out,
            initial,
            resume,
            lambda start: options.configured(config, seed, steps, forces, start),
            lambda p: update(p.step / p.steps, p.words()),
        )
    text = f"{out}: validation loss {done['validation_loss']:.4f} after {done['seconds']:.0f} s"
    say(done, as_json, text, notes)


@app.command
@computing
def sample(
    run: Run,
    /,
    *,
    out: Out = Path("samples"),
    molecule: WhichMolecule = None,
    number: Annotated[int, WHOLE, Parameter(name=["-n", "--number"], help="Number of samples.")] = 10_000,
    seed: Seed = 0,
    steps: Annotated[
        int | None, WHOLE, Parameter(help="Noise levels of the sampler, in place of the configured.", validator=COUNT)
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw independent equilibrium samples into a folder with samples.xtc and topology.pdb.

    Example: scorefield sample run -n 10000 -o samples

    With the built-in model: scorefield sample ala2
    """
    options.positive(number=number)
    with working("loading"):
        from .frames import write_frames
        from .shared import model_for
        from .simulate import sample as draw
        from .storage import refuse_existing

        model = model_for(run, molecule)
        refuse_existing(out)
    with progress("sampling", number) as update:
        frames = draw(model, number, seed, steps, on_batch=lambda done: update(done, ""))
        write_frames(frames, out)
    say(options.summary(out, frames), as_json, f"{out}: {frames.trajectory.n_frames} samples, {frames.lost} lost", [])


@app.command
@cooperating
def simulate(
    run: Run,
    /,
    *,
    out: Out = Path("simulation"),
    molecule: WhichMolecule = None,
    time_ns: Annotated[float, Parameter(help="Length of each replica, ns.")] = 0.2,
    replicas: Annotated[int, WHOLE, Parameter(help="Independent replicas, run side by side.")] = 100,
    save_ps: Annotated[float, Parameter(help="Time between kept frames, ps.")] = 1.0,
    dt_fs: Annotated[float | None, Parameter(help="Time step, fs (default: the configuration's).")] = None,
    friction: Annotated[float | None, Parameter(help="Friction, 1/ps (default: the configuration's).")] = None,
    mass: Annotated[
        float | None,
        Parameter(
            help="Mass of every bead, Da (default: the configuration's, or their own). Populations stay; four times the mass "
            "bears steps twice as long, and motions are about half as fast."
        ),
    ] = None,
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
    """Langevin dynamics with the model as the force field: replica_0000.xtc ... and topology.pdb.

    Stop it at any time; --resume goes on exactly, --time-ns being the time in all: a longer one extends what has ended.
    The time of coarse-grained dynamics is not physical time.

    Example: scorefield simulate run --replicas 100 --time-ns 10 -o simulation

    With the built-in model: scorefield simulate ala2
    """
    options.positive(replicas=replicas, time_ns=time_ns, save_ps=save_ps, dt_fs=dt_fs, temperature=temperature)
    options.positive(level=None if level == "auto" else level, mass=mass)
    if friction is not None and not 0 <= friction < float("inf"):
        raise InputError(f"--friction is {friction:g}; it must be 0 or more (1/ps)")
    with working("loading"):
        from .commands import simulate_command
    with resumable(out):
        words = {"save_ps": save_ps, "dt_fs": dt_fs, "friction": friction, "temperature": temperature, "seed": seed}
        words |= {"exchange": options.levels(exchange), "mass": mass, "molecule": molecule}
        found = simulate_command(run, out, time_ns * 1000, replicas, start, level, block, resume, progress, **words)
    if found is None:
        return
    frames, notes = found
    text = f"{out}: {frames.trajectory.n_frames} frames of {replicas} replicas, {frames.lost} lost"
    say(options.summary(out, frames), as_json, text, notes)


@app.command
@computing
def run(
    system: Annotated[str, Parameter(help="A built-in system (see `systems`), or a DATASET folder.")],
    /,
    *,
    out: Out = Path("out"),
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

    Stop it at any time; --resume goes on with what is not finished.

    Example: scorefield run data -o out

    Without data of your own: scorefield run ala2 -o demo/ala2
    """
    options.positive(samples=samples, replicas=replicas, time_ps=time_ps, save_ps=save_ps)
    with working("loading"):
        from .commands import run_command
        from .report import metric_table

        settings = options.configured(config, seed, steps, forces)
    with resumable(out):
        report = run_command(system, out, settings, samples, replicas, time_ps, save_ps, resume, progress)
    if as_json:
        return say(report.metrics, True, "", list(report.warnings))
    table(metric_table(report))
    say({}, False, f"report: {out / 'report' / 'index.html'}", list(report.warnings))


@app.command
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish", "powershell"], Parameter(help="The shell that is to complete.")],
    /,
    *,
    install: Annotated[bool, Parameter(negative="", help="Write it where the shell looks, and say where.")] = False,
) -> None:
    """Print the script that completes commands and options in a shell, or install it.

    Example: scorefield completion bash --install
    """
    if not install:
        return say({}, False, app.generate_completion(shell=shell), [])
    path = app.install_completion(shell=shell)
    say({}, False, f"{path}\nit completes in every new {shell}", [])


def main() -> None:
    """Run the command; errors and interrupts end as `ending` says."""
    quiet()
    keep_compiled()
    with ending():
        try:
            app(print_error=False, exit_on_error=False)
        except CycloptsError as error:
            words = " ".join(("scorefield", *(error.command_chain or ())))
            raise InputError(f"{str(error).rstrip('.')}; see: {words} --help") from None
