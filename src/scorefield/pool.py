"""Several datasets that one model learns from together."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from .dataset import Dataset
from .errors import InputError
from .molecule import Molecule

_SAME_TEMPERATURE = 0.5  # K


@dataclass(frozen=True, eq=False)
class Pool:
    """Datasets, with the names that the user gave them (`names`), of molecules that may differ.

    Raises InputError if there are none, or their temperatures or maps differ.
    """

    datasets: tuple[Dataset, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.datasets:
            raise InputError("give at least one dataset to train on")
        first = self.datasets[0]
        for name, data in zip(self.names, self.datasets, strict=True):
            if abs(data.temperature - first.temperature) > _SAME_TEMPERATURE:
                raise InputError(
                    f"{name} is at {data.temperature:g} K, {self.names[0]} at {first.temperature:g} K: an energy in kT is "
                    "that of one temperature"
                )
            if data.map != first.map:
                raise InputError(
                    f"{name} was made by the map {data.map!r}, {self.names[0]} by {first.map!r}: one model needs one map"
                )
            data.require("train", "validation")

    @staticmethod
    def of(datasets: Sequence[Dataset]) -> "Pool":
        """Datasets that bear their molecules' names."""
        return Pool(tuple(datasets), tuple(d.molecule.name for d in datasets))

    @property
    def map(self) -> str:
        """What made all their beads."""
        return self.datasets[0].map

    @property
    def temperature(self) -> float:
        """Of all of them, K."""
        return self.datasets[0].temperature

    @property
    def molecule(self) -> Molecule:
        """The largest one, the first of several."""
        return max((d.molecule for d in self.datasets), key=lambda m: m.n_beads)

    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of what a training sees."""
        return hashlib.sha256("".join(d.fingerprint() for d in self.datasets).encode()).hexdigest()
