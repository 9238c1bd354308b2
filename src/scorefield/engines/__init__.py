"""A trained model as the force field of other programs: OpenMM, openmm-ml, ASE, i-PI, jax-md; each an optional extra.

Every adapter does no more than change units and names around `ReplicaForce`, so that all of them feel the same forces.
"""
