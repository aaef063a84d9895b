"""`fuzz_readers.py` in small."""

from pathlib import Path

import numpy as np
import pytest
from fuzz_readers import READERS, fuzz
from safetensors.numpy import save_file

from ris_pipeline._errors import InputError
from ris_pipeline.scene.believed import load_panel


@pytest.mark.parametrize("name", READERS)
def test_nothing_but_input_error(name: str, tmp_path: Path) -> None:
    if name.startswith("study"):
        pytest.importorskip("optuna")
    if name == "m73.mat":
        pytest.importorskip("h5py")
    # Each file of MATLAB takes a process.
    assert not fuzz(READERS[name], tmp_path, 5 if name.endswith(".mat") else 60, 0)


@pytest.mark.parametrize(
    ("dtype", "wavelength"), [("float32", 0.3), ("uint64", 0.3), ("float64", "nan")]
)
def test_a_panel_file_of_another_dtype_or_wavelength(
    dtype: str, wavelength: object, tmp_path: Path
) -> None:
    path = tmp_path / "panel.safetensors"
    arrays = {"positions": np.ones((6, 3), dtype), "response": np.ones((6, 2), dtype)}
    save_file(arrays, path, metadata={"wavelength": str(wavelength)})
    with pytest.raises(InputError, match="allowed"):
        load_panel(path)
