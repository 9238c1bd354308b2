"""Packages: the optional ones, imported where they are needed and asked for by name where they are missing; and versions."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
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


def versions(*packages: str) -> dict[str, str]:
    """Of installed packages, by name; "not installed" where a package is there without (scorefield run from its sources)."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
