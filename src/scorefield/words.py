"""Numbers as a reader writes them: significant figures, units, times."""

import math


def number(value: float, figures: int = 3) -> str:
    """A value to so many significant figures, as a reader writes it; integers in full."""
    if isinstance(value, int) or value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 1e-3:
        return f"{value:#.{figures}g}".rstrip(".")
    mantissa, exponent = f"{value:.{figures - 2}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def with_unit(value: float, unit: str) -> str:
    """A value to three figures and its unit."""
    return joined(number(value), unit)


def joined(figure: str, unit: str) -> str:
    """A figure and its unit, with a space where one belongs."""
    return figure + unit if unit in ("", "°") else f"{figure} {unit}"


def time_unit(longest: float) -> tuple[str, float]:
    """A unit of time in which `longest` (ps) reads well, and its size in ps."""
    units = (("ms", 1e9), ("µs", 1e6), ("ns", 1e3))
    return next(((unit, size) for unit, size in units if longest >= size), ("ps", 1.0))


def span(ps: float) -> str:
    """A time in ps to three figures, in a unit that reads well; a dash for none."""
    unit, size = time_unit(ps)
    return "—" if math.isnan(ps) else f"{number(ps / size)} {unit}"


def seconds(count: float) -> str:
    """A time on the clock, in s, minutes or hours."""
    for size, unit in ((3600.0, "hours"), (60.0, "minutes")):
        if count >= 1.5 * size:
            return f"{count / size:.0f} {unit}" if count >= 10 * size else f"{count / size:.1f} {unit}"
    return f"{count:.0f} s"
