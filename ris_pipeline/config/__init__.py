"""Settings: frozen, validated at construction, read from TOML. Free of torch.

Angles are stored in degrees here, because people write presets, and become radians at the door of
`scene`.
"""

from ris_pipeline.config._base import Interval
from ris_pipeline.config.learning import (
    CurriculumPhase,
    LossConfig,
    LossWeights,
    ModelConfig,
    Phase,
    Settings,
    Training,
)
from ris_pipeline.config.presets import (
    load_settings,
    override_settings,
    parse_settings,
    parse_value,
    preset_names,
)
from ris_pipeline.config.scenario import (
    K_MAX,
    CodebookName,
    Impairments,
    PhaseAmplitude,
    PowerLaw,
    Scenario,
    Wavefront,
)

__all__ = [
    "K_MAX",
    "CodebookName",
    "CurriculumPhase",
    "Impairments",
    "Interval",
    "LossConfig",
    "LossWeights",
    "ModelConfig",
    "Phase",
    "PhaseAmplitude",
    "PowerLaw",
    "Scenario",
    "Settings",
    "Training",
    "Wavefront",
    "load_settings",
    "override_settings",
    "parse_settings",
    "parse_value",
    "preset_names",
]
