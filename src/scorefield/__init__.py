"""Coarse-grained molecular force fields learned by denoising diffusion (arXiv 2302.00600).

What a user needs is here: `import scorefield as sf`. Each name is imported when first used, for JAX takes its time.

    data      prepare, load_dataset, load_system
    model     Config, train, refine, load_model
    frames    sample, simulate, write_frames
    quality   evaluate, write_report, verify
    forces    ForceField; other programs: `scorefield.engines`

Lengths are in nm, times in ps, masses in Da, energies in kJ/mol, temperatures in K. InputError is raised for whatever a user
can get wrong; its one line says what, and what to do.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Config
    from .dataset import load_dataset
    from .errors import InputError
    from .evaluate import evaluate
    from .forcefield import ForceField
    from .frames import write_frames
    from .model import load_model
    from .page import write_report
    from .prepare import prepare
    from .refine import refine
    from .simulate import sample, simulate
    from .systems import load_system
    from .train import train
    from .verify import verify

__all__ = [
    "Config",
    "ForceField",
    "InputError",
    "evaluate",
    "load_dataset",
    "load_model",
    "load_system",
    "prepare",
    "refine",
    "sample",
    "simulate",
    "train",
    "verify",
    "write_frames",
    "write_report",
]
_HOMES = {
    "Config": "config",
    "ForceField": "forcefield",
    "InputError": "errors",
    "load_dataset": "dataset",
    "load_model": "model",
    "load_system": "systems",
    "sample": "simulate",
    "write_frames": "frames",
    "write_report": "page",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'scorefield' has no attribute {name!r}")
    return getattr(import_module(f"scorefield.{_HOMES.get(name, name)}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]


class _Package(ModuleType):
    """`scorefield.train` is the function, not the module of that name, in whatever order they are imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, getattr(value, name) if name in __all__ and isinstance(value, ModuleType) else value)


sys.modules[__name__].__class__ = _Package
