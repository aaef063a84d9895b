"""Settings: frozen, validated at construction, read from TOML. Free of torch.

Angles are stored in degrees here, because people write presets, and become radians at the door of
`scene`.
"""

from ris_pipeline.config._base import Count, Frozen, Interval, validated
from ris_pipeline.config._sizes import LARGEST, check_training_memory
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
    changed_settings,
    check_used,
    flattened,
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
    "LARGEST",
    "CodebookName",
    "Count",
    "CurriculumPhase",
    "Frozen",
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
    "changed_settings",
    "check_training_memory",
    "check_used",
    "flattened",
    "load_settings",
    "override_settings",
    "parse_settings",
    "parse_value",
    "preset_names",
    "validated",
]
