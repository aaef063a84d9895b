"""Wrong implementations that somebody really wrote, to be put in the place of the right ones.

Bugs 1 to 5 are those of a RIS localisation project whose network never learned (October 2025);
the variants are what the same mistake looks like in other hands. Each replacement has the
signature of the function whose name it is listed under in `target.places()`.
"""

from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import KnownBug
from ris_pipeline.verification.known_bugs.array import ARRAY_BUGS
from ris_pipeline.verification.known_bugs.averaging import AVERAGING_BUGS
from ris_pipeline.verification.known_bugs.circumstances import CIRCUMSTANCE_BUGS
from ris_pipeline.verification.known_bugs.covariance import COVARIANCE_BUGS
from ris_pipeline.verification.known_bugs.decompositions import DECOMPOSITION_BUGS
from ris_pipeline.verification.known_bugs.learning import LEARNING_BUGS
from ris_pipeline.verification.known_bugs.linear_arrays import LINEAR_ARRAY_BUGS
from ris_pipeline.verification.known_bugs.localization import LOCALIZATION_BUGS
from ris_pipeline.verification.known_bugs.losses import LOSS_BUGS
from ris_pipeline.verification.known_bugs.matrix_functions import MATRIX_FUNCTION_BUGS
from ris_pipeline.verification.known_bugs.model_order import MODEL_ORDER_BUGS
from ris_pipeline.verification.known_bugs.ratios import RATIO_BUGS
from ris_pipeline.verification.known_bugs.remembering import REMEMBERING_BUGS
from ris_pipeline.verification.known_bugs.scenes import SCENE_BUGS
from ris_pipeline.verification.known_bugs.spectral import SPECTRAL_BUGS
from ris_pipeline.verification.known_bugs.steering_circumstances import STEERING_CIRCUMSTANCE_BUGS
from ris_pipeline.verification.known_bugs.subspaces import SUBSPACE_BUGS
from ris_pipeline.verification.known_bugs.transforms import TRANSFORM_BUGS

KNOWN_BUGS: tuple[KnownBug, ...] = (
    *SPECTRAL_BUGS,
    *DECOMPOSITION_BUGS,
    *LEARNING_BUGS,
    *SUBSPACE_BUGS,
    *MODEL_ORDER_BUGS,
    *COVARIANCE_BUGS,
    *ARRAY_BUGS,
    *SCENE_BUGS,
    *LOSS_BUGS,
    *LOCALIZATION_BUGS,
    *AVERAGING_BUGS,
    *CIRCUMSTANCE_BUGS,
    *STEERING_CIRCUMSTANCE_BUGS,
    *TRANSFORM_BUGS,
    *RATIO_BUGS,
    *MATRIX_FUNCTION_BUGS,
    *LINEAR_ARRAY_BUGS,
    *REMEMBERING_BUGS,
)
"""The catalogue: the post-mortem first, then bugs 0, met or to be expected elsewhere."""

__all__ = ["KNOWN_BUGS", "Cause", "KnownBug"]
