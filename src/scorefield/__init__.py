"""Coarse-grained molecular force fields learned by denoising diffusion (arXiv 2302.00600)."""
