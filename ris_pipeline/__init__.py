"""Near-field localisation with a Reconfigurable Intelligent Surface, and its verification."""

from ris_pipeline._errors import InputError
from ris_pipeline._version import __version__
from ris_pipeline.config import K_MAX, Settings, load_settings, preset_names

__all__ = ["K_MAX", "InputError", "Settings", "__version__", "load_settings", "preset_names"]
