"""Estimates for a spreadsheet or for MATLAB: one row a source, angles in degrees."""

import csv
from pathlib import Path

import numpy as np

from ris_pipeline._files import whole_file
from ris_pipeline.data.formats import write_arrays
from ris_pipeline.localization import Estimates

COLUMNS = (
    "scene",
    "source",
    "azimuth_deg",
    "elevation_deg",
    "distance_m",
    "power",
    "azimuth_std_deg",
    "elevation_std_deg",
    "distance_std_m",
    "status",
)
"""`Estimates.rows`; here so that a file without sources has them too."""


def write_csv(path: Path, found: Estimates) -> None:
    """`Estimates.rows` as CSV; what is not known is left empty.

    Raises:
        InputError: it cannot be written.
    """
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found.rows())


def write_mat(path: Path, found: Estimates) -> None:
    """`Estimates.rows` as columns of a MATLAB file, NaN where something is not known; and `count`,
    the sources of each scene. Scenes and sources are counted from 1 there, as MATLAB does.

    Raises:
        InputError: it cannot be written.
    """
    rows = found.rows()
    numbers = {
        name: np.array([np.nan if row[name] is None else row[name] for row in rows], float)
        for name in COLUMNS[:-1]
    }
    columns = {name: value.reshape(-1, 1) for name, value in numbers.items()}
    columns["scene"], columns["source"] = columns["scene"] + 1, columns["source"] + 1
    converged = np.array([[row["status"] == "converged"] for row in rows], bool).reshape(-1, 1)
    count = found.count.numpy(force=True).astype(float).reshape(-1, 1)
    write_arrays(path, {**columns, "converged": converged, "count": count})
