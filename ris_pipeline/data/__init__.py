"""Measurements, covariances, estimates and scenes in files: read, checked, written whole."""

from ris_pipeline.data.estimates import write_csv, write_mat
from ris_pipeline.data.formats import SUFFIXES, read_arrays, write_arrays
from ris_pipeline.data.measurements import (
    OwnCovariance,
    read_measurements,
    scene_arrays,
    write_scenes,
)
from ris_pipeline.data.store import SHARD, SceneStore, write_store

__all__ = [
    "SHARD",
    "SUFFIXES",
    "OwnCovariance",
    "SceneStore",
    "read_arrays",
    "read_measurements",
    "scene_arrays",
    "write_arrays",
    "write_csv",
    "write_mat",
    "write_scenes",
    "write_store",
]
