"""Snapshots brought back onto the aperture.

matched filter            z_t = Phi_t^H y_t
regularised inverse       x_t = (Phi_t^H Phi_t + eps I)^-1 Phi_t^H y_t
Gram matrix               Phi_t^H Phi_t = (H^H H) o (sum_l conj(c_tl) c_tl^T)      (o: entrywise)

Phi_t stacks H diag(c_tl), so both factors of the Gram follow from products of M x N and L x N
matrices and the stacked L M x N matrix is never formed.
"""

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_finite
from ris_pipeline.localization.cholesky import solve_factored
from ris_pipeline.localization.measurement.binary import of_unit_size
from ris_pipeline.localization.measurement.checks import check_measurement


def code_gram(codes: Complex[Tensor, "t l n"]) -> Complex[Tensor, "t n n"]:
    """`S_t = sum_l conj(c_tl) c_tl^T`."""
    return codes.mH @ codes


def linked_elements(codes: Complex[Tensor, "t l n"]) -> Bool[Tensor, "n n"]:
    """Pairs that some chain of non-zero `sum_l conj(c_ln) c_lm` connects in any block, and (n, n).

    Chains, because inverses of Phi^H Phi have the same blocks but not the same zeros.
    """
    overlap = code_gram(of_unit_size(codes)).abs()
    size = overlap.diagonal(dim1=1, dim2=2).sqrt()
    # A sum of L terms, each rounded a few times, by Cauchy and Schwarz no larger than |c_n| |c_m|.
    rounding = 8 * torch.finfo(codes.dtype).eps * size[:, :, None] * size[:, None]
    linked = (overlap > rounding).any(0).float() + torch.eye(codes.shape[2], device=codes.device)
    for _ in range(max(1, linked.shape[0] - 1).bit_length()):
        linked = ((linked @ linked) > 0).float()
    return linked > 0


def element_classes(codes: Complex[Tensor, "t l n"]) -> Int[Tensor, "classes size"]:
    """Elements in classes that do not interfere: Phi_t^H Phi_t is zero between two classes.

    DFT codes on an even sub-grid make many small classes, random codes one of all elements. Classes
    of unequal size are taken for one.
    """
    linked = linked_elements(codes)
    sizes = linked.sum(1)
    if bool((sizes != sizes[0]).any()):
        return torch.arange(codes.shape[2], device=codes.device)[None]
    first = linked.to(torch.uint8).argmax(1)
    return first.argsort(stable=True).reshape(-1, int(sizes[0]))


def sensing_gram(
    channel: Complex[Tensor, "b m n"], codes: Complex[Tensor, "t l n"]
) -> Complex[Tensor, "b t n n"]:
    """`Phi_t^H Phi_t = (H^H H) o (sum_l conj(c_tl) c_tl^T)`, without Phi."""
    return (channel.mH @ channel)[:, None] * code_gram(codes)


def matched_filter(
    snapshots: Complex[Tensor, "b t l m"],
    channel: Complex[Tensor, "b m n"],
    codes: Complex[Tensor, "t l n"],
) -> Complex[Tensor, "b t n"]:
    """`z_t = Phi_t^H y_t = sum_l conj(c_tl) o (H^H y_tl)`.

    Raises:
        InputError: shapes or dtypes that do not fit together, or a non-finite entry.
    """
    check_measurement(snapshots, channel, codes)
    blocks, rows = snapshots.shape[1:3]
    aperture = (snapshots.flatten(1, 2) @ channel.conj()).unflatten(1, (blocks, rows))
    return (aperture * codes.conj()).sum(2)


def snr_regularisation(
    channel: Complex[Tensor, "b m n"],
    codes: Complex[Tensor, "t l n"],
    snr_db: Float[Tensor, " b"],
) -> Float[Tensor, " b"]:
    """`eps = mean_t tr(Phi_t^H Phi_t) / (L M snr)`, and never below `N u` of the mean eigenvalue.

    It is the noise-to-signal ratio per element, hence the linear MMSE estimate of an aperture field
    whose elements are uncorrelated and of equal power. The floor, with u the machine epsilon, is
    what keeps the Cholesky factorisation of a rank-deficient Gram matrix backward stable
    (N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2002, theorem 10.3).
    """
    elements = channel.shape[-1]
    # tr(Phi^H Phi) = sum_n |h_n|^2 sum_l |c_ln|^2
    columns = channel.abs().square().sum(1)
    trace = (columns @ codes.abs().square().sum(1).mT).mean(1)
    rows = codes.shape[1] * channel.shape[1]
    ridge = trace / rows * 10 ** (-snr_db / 10)
    floor = elements * torch.finfo(ridge.dtype).eps * (trace / elements)
    return torch.maximum(ridge, floor)


def regularised_least_squares(
    snapshots: Complex[Tensor, "b t l m"],
    channel: Complex[Tensor, "b m n"],
    codes: Complex[Tensor, "t l n"],
    regularisation: Float[Tensor, " b"],
) -> Complex[Tensor, "b t n"]:
    """`x_t = (Phi_t^H Phi_t + eps I)^-1 Phi_t^H y_t`, solved by Cholesky.

    Args:
        regularisation: eps > 0 of each scene, (B,); see `snr_regularisation`.

    Raises:
        InputError: shapes or dtypes that do not fit together, a non-finite entry, or an eps that is
            not positive or too small for the dtype.
    """
    matched = matched_filter(snapshots, channel, codes)
    check_finite("regularisation", regularisation)
    if bool((regularisation <= 0).any()):
        raise InputError(
            f"regularisation holds {regularisation.min().item()}: allowed are positive numbers"
        )
    gram = sensing_gram(channel, codes)
    gram.diagonal(dim1=-2, dim2=-1).add_(regularisation[:, None, None])
    factor, failed = torch.linalg.cholesky_ex(gram)
    if bool(failed.any()):
        raise InputError(
            f"regularisation holds {regularisation[failed.any(1)].min().item()}: too small for a "
            f"Gram matrix in {gram.dtype}; see snr_regularisation"
        )
    return solve_factored(matched[..., None], factor)[..., 0]
