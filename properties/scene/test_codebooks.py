"""Law: codes have unit modulus; full DFT and Hadamard books are orthogonal."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import angle_bound, product_bound
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.target import TARGET

sizes = st.integers(1, 5)


@given(sizes, sizes, sizes, sizes)
def test_dft_codes_are_plane_waves(n_h: int, n_v: int, p: int, q: int) -> None:
    book = TARGET.dft_codebook((n_h, n_v), (p, q)).numpy()
    rows, elements = np.indices((p * q, n_h * n_v))
    turns = (rows % p) * (elements % n_h) / p + (rows // p) * (elements // n_h) / q
    bound = angle_bound(torch.float64, 2 * np.pi * 10)
    assert_within("c_n", book, np.exp(2j * np.pi * turns), bound)


@given(sizes, sizes)
def test_a_full_dft_book_is_orthogonal(n_h: int, n_v: int) -> None:
    book = TARGET.dft_codebook((n_h, n_v), (n_h, n_v)).numpy()
    n = n_h * n_v
    bound = product_bound(float(n), 8 * n, torch.float64)
    assert_within("C C^H", book @ book.conj().T, n * np.eye(n), bound)


@given(st.integers(1, 33))
def test_hadamard_codes_are_signs_with_orthogonal_columns(elements: int) -> None:
    book = TARGET.hadamard_codebook(elements).numpy()
    size = book.shape[0]
    assert_within("elements", book.shape[1], elements, 0)
    assert_within("|c_n|", np.abs(book.real), np.ones_like(book.real), 0.0)
    assert_within("C^H C", book.conj().T @ book, size * np.eye(elements), 0.0)


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**16))
def test_random_codes_have_unit_modulus_and_come_back(count: int, n: int, seed: int) -> None:
    book = TARGET.random_codebook(count, n, seed).numpy()
    bound = angle_bound(torch.float64, 1.0)
    assert_within("|c_n|", np.abs(book), np.ones((count, n)), bound)
    assert_within("drawn again", TARGET.random_codebook(count, n, seed).numpy(), book, 0.0)
