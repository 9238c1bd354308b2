"""Optional packages: imported where they are needed, and asked for by name where they are missing."""

from importlib import import_module
from types import ModuleType

from .errors import InputError


def extra(module: str, name: str) -> ModuleType:
    """The optional `module`. Raises InputError that names the extra to install, `name`, if it is not there."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise InputError(
            f"this needs {package}, which cannot be imported ({error}); install it with: pip install 'scorefield[{name}]'"
        ) from None
