"""The package's units: nm, ps, Da, kJ/mol, K.

1 Da nm^2/ps^2 = 1 kJ/mol, so no integrator needs a conversion factor. Ångström appears only at a file's border and in
metrics whose published definition is in Ångström.
"""

BOLTZMANN = 0.00831446261815324
"""Boltzmann's constant, kJ/mol/K (CODATA 2018, exact)."""

ANGSTROM = 0.1
"""One Ångström in nm."""

ELECTRONVOLT = 96.48533212331
"""One electronvolt in kJ/mol (CODATA 2018)."""

HARTREE = 2625.499639479
"""One hartree in kJ/mol (CODATA 2018)."""

BOHR = 0.052917721090
"""One bohr in nm (CODATA 2018)."""


def thermal_energy(temperature: float) -> float:
    """kT in kJ/mol of a `temperature` in K."""
    return BOLTZMANN * temperature
