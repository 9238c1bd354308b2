"""What a configuration's section `energy` may say, lengths in nm."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat

Size = Annotated[int, Field(ge=1, le=65_536)]
Layers = Annotated[int, Field(ge=1, le=1000)]


class Section(BaseModel):
    """What every section is: keys that are not known are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _increasing(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(a >= b for a, b in pairwise(values)):
        raise ValueError("boundaries must increase")
    return values


Boundaries = Annotated[tuple[PositiveFloat, ...], AfterValidator(_increasing)]


class AutoSettings(Section):
    """The default: `InvariantSettings` for up to 7 beads, `BeadSettings` for more (`energy.build.resolve`).

    `prior` "none" leaves to the network what `energy.prior` knows: the plain method, whose force is that of blurred bonds.
    `boundaries` in nm cut the noise levels into ranges, each with a network of its own; none: one network for all.
    """

    kind: Literal["auto"] = "auto"
    prior: Literal["noise_aware", "none"] = "noise_aware"
    boundaries: Boundaries = ()


class InvariantSettings(Section):
    """Baseline, noise-aware prior, and a residual MLP on the invariants of all pairs.

    `prior` and `boundaries` as in `AutoSettings`.
    """

    kind: Literal["invariant"] = "invariant"
    prior: Literal["noise_aware", "none"] = "noise_aware"
    boundaries: Boundaries = ()
    width: Size = 128
    depth: Layers = 3


class BeadSettings(Section):
    """Baseline, prior, and a network that shares its weights over beads: a longer chain hardly needs more of them.

    `interactions` layers of `width`, each with `channels` x `radial` densities around every bead, up to `cutoff` (nm);
    beside them an MLP of `coarse_width` and `coarse_depth` on the coarse shape of the chain (`Invariants`). `channels`
    None: 0 where that has every distance, else 8. `prior` and `boundaries` as in `AutoSettings`.
    """

    kind: Literal["beads"] = "beads"
    prior: Literal["noise_aware", "none"] = "noise_aware"
    boundaries: Boundaries = ()
    width: Size = 64
    interactions: Layers = 2
    channels: Annotated[int, Field(ge=0, le=1024)] | None = None
    radial: Annotated[int, Field(ge=2, le=1024)] = 12
    cutoff: Annotated[float, Field(gt=0.3)] = 1.2
    coarse_width: Size = 128
    coarse_depth: Layers = 3


class TransferableSettings(Section):
    """One network for many molecules, chains of beads that it knows by their features (`energy.transferable`).

    `interactions` layers of `width`, with `channels` x `radial` densities around every bead, up to `cutoff` (nm). The default
    where `train` is given several datasets.
    """

    kind: Literal["transferable"] = "transferable"
    prior: Literal["noise_aware", "none"] = "noise_aware"
    width: Size = 64
    interactions: Layers = 3
    channels: Annotated[int, Field(ge=0, le=1024)] = 4
    radial: Annotated[int, Field(ge=2, le=1024)] = 8
    cutoff: Annotated[float, Field(gt=0.3)] = 1.2


class GraphTransformerSettings(Section):
    """The paper's network, conservative or direct; `std` of the data in nm (None: of the training frames)."""

    kind: Literal["graph_transformer", "graph_transformer_direct"]
    hidden: Size
    layers: Layers
    std: PositiveFloat | None = None


Energy = Annotated[
    AutoSettings | InvariantSettings | BeadSettings | TransferableSettings | GraphTransformerSettings,
    Field(discriminator="kind"),
]
