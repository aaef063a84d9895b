"""The functions that `verify` knows, each declared once; free of torch, since help lists them.

    python -m ris_pipeline._verified

writes their table into `docs/verification.md`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "verification.md"
BEGIN, END = "<!-- verified: begin -->\n", "<!-- verified: end -->\n"

Shape = Callable[[int, int, int, int], tuple[int, ...]]
"""Of the answer to one matrix (n, m), of k and of g steering vectors."""


@dataclass(frozen=True)
class Verified:
    """A function by its plain signature.

    place: where ours stands, `module:attribute`; parameters: plain; answers: a row of the page;
    shape: of the answer to one matrix, where the first parameter is one; real: the answer is; mean:
    a batch is answered by its mean; as_ours: ours has the plain signature.
    """

    place: str
    parameters: tuple[str, ...]
    answers: str
    shape: Shape | None = None
    real: bool = True
    mean: bool = False
    as_ours: bool = False

    @property
    def ours(self) -> str:
        """The name of ours, e.g. `run_epoch` for `epoch_mean`."""
        return self.place.partition(":")[2]


def _scalar(n: int, m: int, k: int, g: int) -> tuple[int, ...]:
    return ()


def _values(n: int, m: int, k: int, g: int) -> tuple[int, ...]:
    return (n,)


def _of_k(n: int, m: int, k: int, g: int) -> tuple[int, ...]:
    return (k,)


def _spectrum(n: int, m: int, k: int, g: int) -> tuple[int, ...]:
    return (g,)


def _square(n: int, m: int, k: int, g: int) -> tuple[int, ...]:
    return n, n


_SPECTRAL, _ARRAY = "ris_pipeline.spectral", "ris_pipeline.localization.spectra.linear_array"

VERIFIED = {
    "hermitize": Verified(
        f"{_SPECTRAL}.hermitian:hermitize",
        ("matrix",),
        "`(R + R^H) / 2`",
        _square,
        real=False,
        as_ours=True,
    ),
    "eigenvalues": Verified(
        f"{_SPECTRAL}.hermitian:eigenvalues",
        ("matrix",),
        "descending",
        _values,
        as_ours=True,
    ),
    "singular_values": Verified(
        f"{_SPECTRAL}.hermitian:singular_values",
        ("matrix",),
        "descending",
        _values,
        as_ours=True,
    ),
    "eigengap": Verified(
        f"{_SPECTRAL}.eigengap:eigengap",
        ("matrix", "k"),
        "eigenvalue k less eigenvalue k + 1, descending",
        _scalar,
        as_ours=True,
    ),
    "eigengap_loss": Verified(
        f"{_SPECTRAL}.eigengap:eigengap_loss",
        ("matrix", "k", "margin"),
        "`max(0, margin - gap)`, the mean over a batch",
        _scalar,
        mean=True,
        as_ours=True,
    ),
    "signal_subspace": Verified(
        f"{_SPECTRAL}.subspaces:signal_subspace",
        ("matrix", "k"),
        "a basis as columns",
        lambda n, m, k, g: (n, k),
        real=False,
        as_ours=True,
    ),
    "noise_subspace": Verified(
        f"{_SPECTRAL}.subspaces:noise_subspace",
        ("matrix", "k"),
        "a basis as columns",
        lambda n, m, k, g: (n, n - k),
        real=False,
        as_ours=True,
    ),
    "projector": Verified(
        f"{_SPECTRAL}.subspaces:projector",
        ("basis",),
        "`U U^H` of an orthonormal basis",
        _square,
        real=False,
        as_ours=True,
    ),
    "matrix_sqrt": Verified(
        f"{_SPECTRAL}.matrix_functions:matrix_sqrt",
        ("matrix",),
        "positive semidefinite",
        _square,
        real=False,
    ),
    "psd_projection": Verified(
        f"{_SPECTRAL}.matrix_functions:psd_projection",
        ("matrix",),
        "the nearest positive semidefinite matrix",
        _square,
        real=False,
    ),
    "whitening": Verified(
        f"{_SPECTRAL}.matrix_functions:whitening",
        ("matrix",),
        "W with `W R W^H = I`, any such W",
        _square,
        real=False,
    ),
    "pseudo_inverse": Verified(
        f"{_SPECTRAL}.matrix_functions:pseudo_inverse",
        ("matrix",),
        "Moore and Penrose's, (m, n) for (n, m)",
        lambda n, m, k, g: (m, n),
        real=False,
    ),
    "diagonal_loading": Verified(
        f"{_SPECTRAL}.covariance:add_loading",
        ("matrix", "loading"),
        "`R + loading I`",
        _square,
        real=False,
    ),
    "forward_backward": Verified(
        f"{_SPECTRAL}.averaging:forward_backward",
        ("matrix",),
        "`(R + J R^* J) / 2`",
        _square,
        real=False,
    ),
    "spatial_smoothing": Verified(
        f"{_SPECTRAL}.averaging:spatial_smoothing",
        ("matrix", "size"),
        "the mean of all subarrays of that size",
        lambda n, m, k, g: (k, k),
        real=False,
    ),
    "sample_covariance": Verified(
        f"{_SPECTRAL}.snapshots:sample_covariance",
        ("snapshots",),
        "`X X^H / T` of (N, T), zero mean",
        _square,
        real=False,
    ),
    "ledoit_wolf": Verified(
        f"{_SPECTRAL}.snapshots:ledoit_wolf",
        ("snapshots",),
        "`X X^H / T` shrunk towards `tr / N I`",
        _square,
        real=False,
    ),
    "factor_eigengap_loss": Verified(
        f"{_SPECTRAL}.eigengap:factor_eigengap_loss",
        ("factor", "k", "margin"),
        "the hinge of `F F^H`, factor (N, q), the mean over a batch",
        _scalar,
        mean=True,
    ),
    "esprit": Verified(
        f"{_ARRAY}:esprit",
        ("matrix", "k"),
        "k angles of a uniform linear array, ascending",
        _of_k,
    ),
    "root_music": Verified(
        f"{_ARRAY}:root_music",
        ("matrix", "k"),
        "k angles of a uniform linear array, ascending",
        _of_k,
    ),
    "ula_bartlett": Verified(
        f"{_ARRAY}:ula_bartlett",
        ("matrix", "angles"),
        "`a^H R a / N^2`",
        _spectrum,
    ),
    "ula_mvdr": Verified(
        f"{_ARRAY}:ula_mvdr",
        ("matrix", "angles"),
        "`1 / (a^H R^-1 a)`",
        _spectrum,
    ),
    "ula_music": Verified(
        f"{_ARRAY}:ula_music",
        ("matrix", "k", "angles"),
        "`1 / (a^H E_n E_n^H a)`",
        _spectrum,
    ),
    "music_spectrum": Verified(
        f"{_SPECTRAL}.spectra:music_spectrum",
        ("matrix", "steering", "k"),
        "`1 / (a^H E_n E_n^H a)`, steering (N, G)",
        _spectrum,
        as_ours=True,
    ),
    "mvdr_spectrum": Verified(
        f"{_SPECTRAL}.spectra:mvdr_spectrum",
        ("matrix", "steering"),
        "`1 / (a^H R^-1 a)`, steering (N, G)",
        _spectrum,
        as_ours=True,
    ),
    "steering_vector": Verified(
        "ris_pipeline.scene.array:steering_vector",
        ("positions", "azimuth", "elevation", "distance", "wavelength"),
        "below; or `(shape, spacing, azimuth, ...)`",
    ),
    "mdl": Verified(
        f"{_SPECTRAL}.model_order:mdl",
        ("eigenvalues", "samples"),
        "of DESCENDING eigenvalues the number of signals (Wax and Kailath)",
    ),
    "aic": Verified(
        f"{_SPECTRAL}.model_order:aic",
        ("eigenvalues", "samples"),
        "of DESCENDING eigenvalues the number of signals (Wax and Kailath)",
    ),
    "gradient_norm": Verified(
        "ris_pipeline.watch.diagnostics:gradient_norm",
        ("parameters",),
        "the 2-norm over gradients that are finite throughout; or of a list of gradients",
    ),
    "epoch_mean": Verified(
        "ris_pipeline.learning.epoch:run_epoch",
        ("losses", "accumulation"),
        "the mean of the losses, none of them divided",
    ),
}


def table() -> str:
    """Of every function the plain signature and what it answers, Markdown."""
    rows = [
        f"| `{name}` | `({', '.join(one.parameters)})` | {one.answers} |"
        for name, one in VERIFIED.items()
    ]
    return "\n".join(["| name | plain signature | answer |", "|---|---|---|", *rows, ""])


def render(page: str) -> str:
    """The page with the table between its two marks."""
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
