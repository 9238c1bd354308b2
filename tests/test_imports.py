"""The layers of docs/design.md: imports go up only, and the fences between what must not know of each other hold."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import scorefield

ROOT = Path(scorefield.__file__).parent
# A package stands for its modules. Within a layer any import is allowed that makes no cycle.
LAYERS = [
    {"errors", "extras", "units", "geometry", "noise", "molecule", "memo", "words", "processes"},
    {"trajectory", "structure", "storage", "lock", "replica_array", "trr", "xtc"},
    {"dataset", "frames", "systems", "proteins", "energy_config", "config", "pool"},
    {
        "bondgraph",
        "mapping",
        "allatom",
        "splitting",
        "observables",
        "distributions",
        "equilibrium",
        "health",
        "bead_forces",
        "reference",
        "collection",
        "native",
        "scrutiny",
        "sources",
        "prepare",
        "stereo",
        "backmap",
        "relax",
    },
    {"energy", "fields", "bond_thermostat", "dynamics", "exchange", "restraints", "samplers", "diffusion"},
    {"forcefield", "labels", "level", "tensors", "journal", "model", "optimise", "data_parallel", "finetune", "train"}
    | {"shared", "train_shared", "features", "crowds", "refine", "refinement"}
    | {"blocks", "protocol", "replicas", "simulate", "starts", "record", "postmortem", "stream", "umbrella", "engines"},
    {"tica", "markov", "states", "kinetics"},
    {
        "metrics",
        "report",
        "marginals",
        "landscapes",
        "evaluate",
        "plot",
        "plot_landscape",
        "plot_kinetics",
        "markup",
        "movies",
        "staying",
        "player",
        "overview",
        "sections",
        "page",
    },
    {"pipeline", "launch"},
    {"verify"},
    {"commands", "folders", "training_command"},
    {
        "ending",
        "runtime",
        "console",
        "options",
        "devices_cli",
        "launch_cli",
        "judging_cli",
        "prepare_cli",
        "reference_cli",
        "refine_cli",
        "backmap_cli",
        "about_cli",
    }
    | {"cli"},
]
COMMAND_LINE = LAYERS[-1]
LAYER = {part: k for k, layer in enumerate(LAYERS) for part in layer}
JUDGES = {"distributions", "observables"} | LAYERS[6] | LAYERS[7]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


# The package itself is left out: it offers names of all layers, imported when first used.
MODULES = {name_of(path): path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"}
part = lambda module: module.split(".")[0]


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


@cache
def imports(module: str) -> tuple[frozenset[str], frozenset[str]]:
    """Modules of this package that `module` imports anywhere in its text, and other packages."""
    here = ["scorefield", *module.split(".")]
    package = here if MODULES[module].name == "__init__.py" else here[:-1]
    ours, others = set(), set()
    for target in _targets(tree(module), package):
        if target[0] != "scorefield":
            others.add(target[0])
            continue
        inside = ".".join(target[1:])
        ours.add(inside if inside in MODULES else ".".join(target[1:-1]))
    return frozenset(ours - {""}), frozenset(others)


def _targets(module: ast.Module, package: list[str]) -> Iterator[list[str]]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            yield from ([*base, alias.name] for alias in node.names)


def reachable(module: str) -> set[str]:
    """All modules that come with `module`."""
    found, new = set(), {module}
    while new:
        found |= new
        new = {target for m in new for target in imports(m)[0]} - found
    return found - {module}


def names(module: str) -> set[str]:
    """Every name and attribute in the text of `module`, imported ones included."""
    found = set()
    for node in ast.walk(tree(module)):
        found |= {getattr(node, "id", ""), getattr(node, "attr", "")}
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.name for alias in node.names}
    return found


def test_every_module_has_a_layer():
    assert not {part(m) for m in MODULES} - set(LAYER), "give a new module its place in LAYERS and in docs/design.md"
    assert not set(LAYER) - {part(m) for m in MODULES}, "LAYERS names what does not exist"


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_up_the_layers_only(module):
    later = {target for target in imports(module)[0] if LAYER[part(target)] > LAYER[part(module)]}
    assert not later


@pytest.mark.parametrize("module", MODULES)
def test_no_module_comes_round_to_itself(module):
    assert all(module not in reachable(target) for target in imports(module)[0])


def test_dynamics_takes_any_force():
    assert reachable("dynamics") == {"bond_thermostat"}
    assert not reachable("bond_thermostat")


def test_what_judges_never_sees_a_model():
    models = {"energy", "dynamics", "samplers", "diffusion", "forcefield", "tensors", "model", "optimise", "train"}
    models |= {"simulate", "stream"}
    for module in (m for m in MODULES if part(m) in JUDGES):
        assert not {part(target) for target in reachable(module)} & models, module


def test_kt_is_known_where_a_score_becomes_a_force_or_a_thermostat_is_set():
    knows = {m for m in MODULES if names(m) & {"BOLTZMANN", "thermal_energy"}}
    assert {part(m) for m in knows} <= {"units", "forcefield", "labels", "model", "replicas", "umbrella", "verify"}


def test_only_files_of_structures_are_read_by_mdtraj():
    uses = {m for m in MODULES if "mdtraj" in imports(m)[1]}
    known = {"structure", "bondgraph", "mapping", "allatom", "bead_forces", "prepare", "commands"}
    known |= {"stereo", "backmap", "relax"}
    assert uses <= known


def test_optional_packages_are_known_to_their_adapters_only():
    known = {"openmm": "openmm", "openmmml": "openmm_ml", "PeptideBuilder": "peptide", "ase": "ase", "ipi": "ipi"}
    known["submitit"] = "launch"
    known |= {"pulchra": "backmap"}
    for package, adapter in known.items():
        uses = {m for m in MODULES if package in imports(m)[1]}
        assert {m.split(".")[-1] for m in uses} <= {adapter}, package


def test_the_energy_and_what_drives_it_are_free_of_files():
    for module in (
        m for m in MODULES if part(m) in {"geometry", "noise", "energy", "dynamics", "samplers", "diffusion"}
    ):
        assert not reachable(module) & {"storage", "structure", "dataset", "frames", "tensors"}, module


@pytest.mark.parametrize("module", MODULES)
def test_only_the_command_line_prints_and_nothing_pickles(module):
    if part(module) not in COMMAND_LINE:
        assert "print" not in names(module)
    assert not imports(module)[1] & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    allowed = [n.value for n in ast.walk(tree(module)) if isinstance(n, ast.keyword) and n.arg == "allow_pickle"]
    assert all(isinstance(value, ast.Constant) and value.value is False for value in allowed)


def test_nothing_needs_linux():
    of_linux = {"sched_getaffinity", "sched_setaffinity", "posix_fallocate", "posix_fadvise", "memfd_create", "splice"}
    of_linux |= {"sendfile", "copy_file_range", "epoll", "eventfd", "inotify", "O_DIRECT", "MADV_HUGEPAGE", "prctl"}
    assert {m: found for m in MODULES if (found := names(m) & of_linux)} == {}


@pytest.mark.parametrize("module", ["scorefield", "scorefield.cli"])
def test_heavy_libraries_are_not_imported_before_a_command_needs_them(module):
    heavy = (
        "{'jax', 'equinox', 'optax', 'mdtraj', 'matplotlib', 'pydantic', 'numpy', 'scipy', 'deeptime', 'safetensors'}"
    )
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
