"""Claims about generalised permutations with an offset, as group laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from policy_port.errors import MappingError
from policy_port.remap import AffineMap

sizes = st.integers(1, 12)
seeds = st.integers(0, 2**31)


def labels(letter: str, n: int) -> list[str]:
    return [f"{letter}{i}" for i in range(n)]


def random_map(rng: np.random.Generator, n: int, into: str = "b", source: str = "a") -> AffineMap:
    """An invertible map: a permutation, factors away from zero, offsets."""
    rows = [
        (int(i), float(rng.choice([-1, 1]) * rng.uniform(0.2, 5.0)), float(rng.normal())) for i in rng.permutation(n)
    ]
    return AffineMap.of_rows(labels(source, n), labels(into, n), rows)


def dense(remap: AffineMap, x: np.ndarray) -> np.ndarray:
    """The same map written out entry by entry."""
    y = np.zeros(remap.n_out)
    for i in range(remap.n_out):
        y[i] = remap.offset[i] + (remap.scale[i] * x[remap.index[i]] if remap.index[i] >= 0 else 0.0)
    return y


@given(sizes, seeds)
def test_inverse_undoes_the_map(n: int, seed: int) -> None:
    """inverse(f)(f(x)) is x, and f(inverse(f)(y)) is y."""
    rng = np.random.default_rng(seed)
    remap, x = random_map(rng, n), rng.normal(size=n)
    np.testing.assert_allclose(remap.inverse()(remap(x)), x, atol=1e-12)
    np.testing.assert_allclose(remap(remap.inverse()(x)), x, atol=1e-12)


@given(sizes, seeds)
def test_composition_applies_the_first_map_first(n: int, seed: int) -> None:
    """f.then(g)(x) is g(f(x)), also through constants and dropped entries."""
    rng = np.random.default_rng(seed)
    f = random_map(rng, n)
    rows = [(int(rng.integers(-1, n)), float(rng.normal()), float(rng.normal())) for _ in range(n + 2)]
    g = AffineMap.of_rows(f.outputs, labels("c", n + 2), [(i, s if i >= 0 else 0.0, o) for i, s, o in rows])
    x = rng.normal(size=(3, n))
    np.testing.assert_allclose(f.then(g)(x), [dense(g, dense(f, row)) for row in x], atol=1e-12)


@given(sizes, seeds)
def test_identity_is_neutral(n: int, seed: int) -> None:
    """Composing with the identity on either side changes nothing, bit for bit."""
    rng = np.random.default_rng(seed)
    f = random_map(rng, n)
    for g in (AffineMap.identity(f.inputs).then(f), f.then(AffineMap.identity(f.outputs))):
        assert (g.index == f.index).all()
        assert (g.scale == f.scale).all()
        assert (g.offset == f.offset).all()
    assert AffineMap.identity(f.inputs).is_identity


@given(sizes, seeds)
def test_inverse_of_an_identity_is_an_identity(n: int, seed: int) -> None:
    """Inverting a reorder gives a reorder: no entry picks up a factor, an offset or a negative zero."""
    rng = np.random.default_rng(seed)
    names = labels("a", n)
    shuffled = [names[i] for i in rng.permutation(n)]
    back = AffineMap.by_name(names, shuffled).inverse()
    assert back.is_reorder
    assert not np.signbit(back.offset).any()
    assert AffineMap.by_name(names, shuffled).then(back).is_identity


@given(sizes, seeds, st.sampled_from([torch.float32, torch.float64]))
def test_torch_agrees_with_numpy_and_keeps_dtype(n: int, seed: int, dtype: torch.dtype) -> None:
    """A torch batch of any leading shape gives NumPy's result in the tensor's own dtype."""
    rng = np.random.default_rng(seed)
    remap = random_map(rng, n)
    x = torch.from_numpy(rng.normal(size=(2, 5, n))).to(dtype)
    y = remap(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.numpy(), remap(x.numpy()), rtol=1e-6, atol=1e-6)


def test_a_constant_ignores_nan_in_what_it_does_not_read() -> None:
    """A constant output stays its constant when every input is NaN, in NumPy and in torch."""
    remap = AffineMap.of_rows(["a"], ["fixed", "read"], [(-1, 0.0, 2.5), (0, 1.0, 0.0)])
    for x in (np.array([np.nan]), torch.tensor([float("nan")])):
        y = remap(x)
        assert float(y[0]) == 2.5
        assert float(y[1]) != float(y[1])


def test_inverse_names_the_entries_that_stand_in_its_way() -> None:
    """A map that drops, repeats or fixes entries says which, instead of inverting wrongly."""
    remap = AffineMap.of_rows(["a", "b"], ["x", "y"], [(0, 1.0, 0.0), (-1, 0.0, 1.0)])
    with pytest.raises(MappingError, match=r"y is constant; b is dropped"):
        remap.inverse()
    with pytest.raises(MappingError, match="a is read twice"):
        AffineMap.of_rows(["a"], ["x", "y"], [(0, 1.0, 0.0), (0, 1.0, 0.0)]).inverse()


def test_maps_that_do_not_fit_are_not_composed() -> None:
    """Composition compares labels, not widths: equal width with other joints is refused, naming the first."""
    f = AffineMap.identity(["hip", "knee"])
    with pytest.raises(MappingError, match="'hip' and 'knee'"):
        f.then(AffineMap.identity(["knee", "hip"]))


def test_a_missing_name_is_named() -> None:
    """Reordering by name refuses a name that is not there."""
    with pytest.raises(MappingError, match="ankle is not among hip, knee"):
        AffineMap.by_name(["hip", "knee"], ["knee", "ankle"])


def test_wrong_width_is_refused() -> None:
    """A batch of another width is an error, not a broadcast."""
    with pytest.raises(ValueError, match="expected 2 values"):
        AffineMap.identity(["a", "b"])(np.zeros((4, 3)))
