"""The same numbers, lying otherwise in memory."""

from enum import StrEnum

import torch
from torch import Tensor


class Layout(StrEnum):
    """How a tensor lies in memory, simplest first."""

    CONTIGUOUS = "contiguous"
    TRANSPOSED = "columns first"
    STRIDED = "every second entry of a larger tensor"
    CONJUGATE_VIEW = "conjugate view"
    OFFSET = "behind other numbers"
    BATCH_LAST = "batch axis fastest"


def lay_out(tensor: Tensor, layout: Layout) -> Tensor:
    """A tensor (..., n, m) of equal entries in another layout."""
    match layout:
        case Layout.CONTIGUOUS:
            return tensor.contiguous()
        case Layout.TRANSPOSED:
            return tensor.mT.contiguous().mT
        case Layout.STRIDED:
            larger = torch.full((*tensor.shape[:-1], 2 * tensor.shape[-1]), torch.nan).to(tensor)
            larger[..., ::2] = tensor
            return larger[..., ::2]
        case Layout.CONJUGATE_VIEW:
            return tensor.conj().resolve_conj().conj()
        case Layout.OFFSET:
            padded = torch.cat((torch.full_like(tensor[..., :1, :], torch.nan), tensor), dim=-2)
            return padded[..., 1:, :]
        case Layout.BATCH_LAST:
            return tensor.movedim(0, -1).contiguous().movedim(-1, 0)
