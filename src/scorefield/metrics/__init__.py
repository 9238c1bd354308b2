"""How far one Trajectory is from another, in numbers; never sees a model.

A value means nothing without its floor, what true frames score in the candidate's place: `evaluate` puts the two side
by side. Adding a metric is one function, one `Metric` and one line here.
"""

from .base import Metric
from .dihedral import DIHEDRAL_JS, DIHEDRAL_JS_DFF, PMF_ERROR, POSITIVE_PHI
from .folding import FOLDED_POPULATION, FOLDING_FREE_ENERGY, RMSD_JS, RMSD_PMF_ERROR
from .local import ANGLE_W1, ANGLE_WIDTH, BOND_W1, BOND_WIDTH
from .shape import CONTACT_ERROR, DISTANCE_JS, OVERLAP, RG_JS
from .slow import STATE_POPULATIONS, TICA_JS, TIMESCALE_RANK, TIMESCALES, TRANSITION_ERROR

METRICS: dict[str, Metric] = {
    "dihedral_js": DIHEDRAL_JS,
    "dihedral_js_dff": DIHEDRAL_JS_DFF,
    "pmf_error": PMF_ERROR,
    "positive_phi": POSITIVE_PHI,
    "bond_w1": BOND_W1,
    "angle_w1": ANGLE_W1,
    "bond_width": BOND_WIDTH,
    "angle_width": ANGLE_WIDTH,
    "distance_js": DISTANCE_JS,
    "rg_js": RG_JS,
    "overlap": OVERLAP,
    "rmsd_js": RMSD_JS,
    "contact_error": CONTACT_ERROR,
    "rmsd_pmf_error": RMSD_PMF_ERROR,
    "folded_population": FOLDED_POPULATION,
    "folding_free_energy": FOLDING_FREE_ENERGY,
}
TIMED: dict[str, Metric] = {
    "tica_js": TICA_JS,
    "state_populations": STATE_POPULATIONS,
    "timescales": TIMESCALES,
    "transition_error": TRANSITION_ERROR,
    "timescale_rank": TIMESCALE_RANK,
}
"""Metrics that need the reference's frames in time order."""

__all__ = ["METRICS", "TIMED", "Metric"]
