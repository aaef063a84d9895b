"""What is measured: panel, channel, codes, impairments, and the simulator that draws them."""

from ris_pipeline._arrays import open_doors
from ris_pipeline._entry import checked
from ris_pipeline.scene.array import (
    Panel,
    angles_from_cosines,
    direction_cosines,
    ideal_panel,
    steering_derivatives,
    steering_second_derivatives,
    steering_vector,
    uniform_linear_array,
)
from ris_pipeline.scene.believed import (
    BelievedPanel,
    believed_panel,
    load_panel,
    save_panel,
)
from ris_pipeline.scene.channel import rician_channel
from ris_pipeline.scene.codebook import (
    dft_codebook,
    hadamard_codebook,
    quantize_phase,
    random_codebook,
    ris_codes,
)
from ris_pipeline.scene.dataset import SceneSet, Split
from ris_pipeline.scene.impairments import TruePanel
from ris_pipeline.scene.own import on_even_grid, own_scenario, panel_scenario
from ris_pipeline.scene.received import Received
from ris_pipeline.scene.simulate import (
    SceneBatch,
    Sources,
    clean_snapshots,
    covariance_factor,
    sensing_matrix,
    simulate,
    steering_matrix,
    true_panel,
)

__all__ = [
    "BelievedPanel",
    "Panel",
    "Received",
    "SceneBatch",
    "SceneSet",
    "Sources",
    "Split",
    "TruePanel",
    "angles_from_cosines",
    "believed_panel",
    "clean_snapshots",
    "covariance_factor",
    "dft_codebook",
    "direction_cosines",
    "hadamard_codebook",
    "ideal_panel",
    "load_panel",
    "on_even_grid",
    "own_scenario",
    "panel_scenario",
    "quantize_phase",
    "random_codebook",
    "rician_channel",
    "ris_codes",
    "save_panel",
    "sensing_matrix",
    "simulate",
    "steering_derivatives",
    "steering_matrix",
    "steering_second_derivatives",
    "steering_vector",
    "true_panel",
    "uniform_linear_array",
]

open_doors(globals(), __all__, checked)

quantise_phase = quantize_phase
"""Its name up to version 0.2.0."""
