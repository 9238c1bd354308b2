"""Energies U(x, sigma) and their parts."""
