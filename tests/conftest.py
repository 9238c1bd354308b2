"""Settings of every test run: arrays of different rank are never broadcast silently."""

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
