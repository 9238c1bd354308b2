import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorefield.dataset import SPLITS
from scorefield.errors import InputError
from scorefield.splitting import check_fractions, split_chains


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=40),
    st.sampled_from([(0.7, 0.1, 0.2), (0.8, 0.2, 0.0), (1, 0, 0)]),
)
def test_every_frame_is_in_one_split_and_chains_stay_in_order(lengths, fractions):
    stretches = split_chains(lengths, fractions)
    covered = [(s.chain, frame) for s in stretches for frame in range(s.start, s.stop)]
    assert covered == [(chain, frame) for chain, n in enumerate(lengths) for frame in range(n)]
    if len(lengths) >= 3:
        assert len(stretches) == len(lengths)
        assert {s.split for s in stretches} == {name for name, f in zip(SPLITS, fractions, strict=True) if f > 0}


@pytest.mark.parametrize(("n", "expected"), [(10, (7, 1, 2)), (20, (14, 2, 4)), (64, (45, 6, 13)), (3, (1, 1, 1))])
def test_equal_chains_are_shared_as_the_fractions_say(n, expected):
    splits = [s.split for s in split_chains([100] * n, (0.7, 0.1, 0.2))]
    assert tuple(splits.count(name) for name in SPLITS) == expected


def test_one_chain_is_cut_into_contiguous_stretches_in_time_order():
    assert [s[1:] for s in split_chains([1000], (0.7, 0.1, 0.2))] == [
        (0, 700, "train"),
        (700, 800, "validation"),
        (800, 1000, "test"),
    ]


@pytest.mark.parametrize("bad", [(0.5, 0.5), (0.5, 0.2, 0.2), (0, 0.5, 0.5), (1.2, -0.2, 0), (float("nan"), 0.5, 0.5)])
def test_bad_fractions(bad):
    with pytest.raises(InputError):
        check_fractions(bad)
