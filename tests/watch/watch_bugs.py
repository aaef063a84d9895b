"""The catalogue of silent bugs, one file a family."""

import watch_bookkeeping
import watch_data
import watch_optimiser
import watch_spectra
import watch_terms
from watch_catalogue import BUGS

FAMILIES = watch_terms, watch_spectra, watch_bookkeeping, watch_optimiser, watch_data

__all__ = ["BUGS", "FAMILIES"]
