"""Results remembered for as long as the objects live that they were computed from."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

P = ParamSpec("P")
R = TypeVar("R")


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """`function` of Trajectories, each result computed once: several metrics and figures need the same coordinates.

    Positional arguments only, told apart by identity and held weakly: nothing outlives them, and a result must not hold
    one.
    """
    nested: WeakKeyDictionary = WeakKeyDictionary()
    missing = object()

    @wraps(function)
    def found(*args: P.args, **kwargs: P.kwargs) -> R:
        table = nested
        for argument in args[:-1]:
            table = table.setdefault(argument, WeakKeyDictionary())
        result = table.get(args[-1], missing)
        if result is missing:
            result = table[args[-1]] = function(*args, **kwargs)
        return result

    return found
