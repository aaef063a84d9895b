"""Tables and figures."""

from ris_pipeline.report.figures import SpectrumView, loss_curve, save_figure, spectrum_figure
from ris_pipeline.report.tables import plain_table

__all__ = ["SpectrumView", "loss_curve", "plain_table", "save_figure", "spectrum_figure"]
