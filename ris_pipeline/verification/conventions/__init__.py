"""Named conventions: ways in which a right function differs from ours."""

from ris_pipeline.verification.conventions._entry import OURS, Convention, Conventions

__all__ = ["OURS", "Convention", "Conventions"]
