"""How far one Trajectory is from another, in numbers; never sees a model.

A value means nothing without its floor, what true frames score in the candidate's place: `evaluate` puts the two side
by side. Adding a metric is one function, one `Metric` and one line here.
"""

from .base import Metric
from .dihedral import DIHEDRAL_JS, DIHEDRAL_JS_DFF, PMF_ERROR, POSITIVE_PHI
from .local import ANGLE_W1, ANGLE_WIDTH, BOND_W1, BOND_WIDTH
from .shape import CONTACT_ERROR, DISTANCE_JS, RG_JS, RMSD_JS

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
    "rmsd_js": RMSD_JS,
    "contact_error": CONTACT_ERROR,
}

__all__ = ["METRICS", "Metric"]
