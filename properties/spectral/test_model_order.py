"""Law: the number of signals is where the smallest eigenvalues become equal, whatever their scale.

MDL and AIC of Wax and Kailath, against the formula spelled out for each k.
"""

import math

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import order_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.target import TARGET, under_test

CRITERIA = ("eigenvalue_mdl", "eigenvalue_aic")
SAMPLES = st.sampled_from((8, 64, 1024))
# Of these MDL, AIC and AIC of real data see different numbers with most numbers of samples.
UNLIKE = (
    (8.5, 4.25, 3.25, 2.25, 2.0),
    (3.5, 2.25, 2.0),
    (3.75, 1.25, 0.75, 0.75),
    (4.75, 4.0, 2.5, 2.25, 2.0),
    (8.0, 2.25, 2.0),
    (6.5, 2.0, 1.75, 1.25, 0.75),
)
spectra = st.one_of(
    st.lists(st.integers(1, 4096), min_size=1, max_size=9).map(
        lambda values: np.sort(np.array(values, dtype=np.float64) / 64)[::-1].copy()
    ),
    st.sampled_from(UNLIKE).map(np.array),
)


def spelled_out(name: str, values: np.ndarray, samples: int) -> np.ndarray:
    m, expected = len(values), []
    for k in range(m):
        tail = values[k:]
        ratio = np.exp(np.log(tail).mean()) / tail.mean()
        likelihood, parameters = -samples * (m - k) * math.log(ratio), k * (2 * m - k)
        if name == "eigenvalue_mdl":
            expected.append(likelihood + parameters / 2 * math.log(samples))
        else:
            expected.append(2 * likelihood + 2 * parameters)
    return np.array(expected)


@given(spectra, SAMPLES, st.sampled_from((torch.float64, torch.float32)))
def test_the_criterion_is_the_formula(values: np.ndarray, samples: int, dtype) -> None:
    for name in under_test(CRITERIA):
        got = getattr(TARGET, name)(torch.from_numpy(values).to(dtype), samples)
        bound = order_bound(values, samples, dtype)
        assert_within(name, got.double().numpy(), spelled_out(name, values, samples), bound)


@given(spectra, SAMPLES, st.integers(-30, 30))
def test_the_unit_of_the_eigenvalues_does_not_matter(
    values: np.ndarray, samples: int, exponent: int
) -> None:
    for name in under_test(CRITERIA):
        criterion = getattr(TARGET, name)
        batch = torch.from_numpy(np.stack((values, values * 2.0**exponent)))
        first, second = criterion(batch, samples).numpy()
        scaled = order_bound(values * 2.0**exponent, samples, torch.float64)
        bound = order_bound(values, samples, torch.float64) + scaled
        assert_within(f"{name} in other units", second, first, bound)


@given(st.integers(0, 6), st.integers(2, 4), st.integers(-8, 8))
def test_signals_far_above_equal_noise_are_counted(signals: int, noise: int, exponent: int) -> None:
    # One eigenvalue 64 times the noise beside one of noise costs n (2 ln(65/2) - ln 64) = 2.8 n,
    # far more than the at most 19 ln(n) / 2 or 38 of its parameters.
    values = torch.cat((torch.full((signals,), 64.0), torch.ones(noise))).double() * 2.0**exponent
    for name in under_test(CRITERIA):
        count = int(getattr(TARGET, name)(values, 1024).argmin())
        assert_true(f"number by {name}", count == signals, count)


# A product of some such powers is zero or infinite.
UNITS = {torch.float64: (-300, -40, 8, 300), torch.float32: (-40, -8, 35)}


@given(spectra, SAMPLES, st.sampled_from(tuple(UNITS)))
def test_the_number_is_where_the_criterion_is_smallest(
    values: np.ndarray, samples: int, dtype: torch.dtype
) -> None:
    for name in under_test(("mdl", "aic")):
        expected = spelled_out(f"eigenvalue_{name}", values, samples)
        best, *others = np.sort(expected)
        batch = np.stack((values, *(values * 2.0**exponent for exponent in UNITS[dtype])))
        bound = 2 * float(np.max(order_bound(batch, samples, dtype)))
        # Where two are as small as each other but for rounding, either is right.
        assume(not others or others[0] - best > bound)
        given = torch.from_numpy(batch).to(dtype)
        for spectrum in (*given, given):
            got = getattr(TARGET, name)(spectrum, samples)
            number = np.full(got.shape, expected.argmin())
            assert_within(f"number by {name}", got.numpy(), number, 0)


@given(st.sampled_from(UNLIKE), SAMPLES)
def test_the_eigenvalues_are_left_as_they_were(values: tuple[float, ...], samples: int) -> None:
    for name in under_test((*CRITERIA, "mdl", "aic")):
        argument = torch.tensor(values, dtype=torch.float64)
        before = argument.clone()
        getattr(TARGET, name)(argument, samples)
        same = torch.equal(argument, before)
        assert_true(f"{name} leaves its argument alone", same, same)


@given(spectra, SAMPLES)
def test_each_spectrum_of_a_batch_has_its_own_number(values: np.ndarray, samples: int) -> None:
    # Largest where the other is smallest, so that no order but that of each is both.
    pair = np.stack((values, (values[0] + values[-1] - values)[::-1] * 1.5))
    for name in under_test(("mdl", "aic")):
        expected = [spelled_out(f"eigenvalue_{name}", one, samples) for one in pair]
        for one, criterion in zip(pair, expected, strict=True):
            best, *others = np.sort(criterion)
            bound = 2 * float(np.max(order_bound(one, samples, torch.float64)))
            assume(not others or others[0] - best > bound)
        got = getattr(TARGET, name)(torch.from_numpy(pair), samples)
        number = np.array([criterion.argmin() for criterion in expected])
        assert_within(f"numbers by {name}", got.numpy(), number, 0)


@given(st.integers(0, 6), st.integers(2, 40), st.integers(-8, 8))
def test_the_number_of_signals_far_above_equal_noise(
    signals: int, noise: int, exponent: int
) -> None:
    values = torch.cat((torch.full((signals,), 4096.0), torch.ones(noise))).double()
    for name in under_test(("mdl", "aic")):
        count = int(getattr(TARGET, name)(values * 2.0**exponent, 4096))
        assert_true(f"number by {name}", count == signals, count)
