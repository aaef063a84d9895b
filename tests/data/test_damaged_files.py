"""Files of measurements that are not what they say, each kind in its own way: one line, no more."""

import io
import os
import resource
import struct
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from own_panels import WAVELENGTH, jittered_grid, measured
from safetensors.numpy import save

from ris_pipeline import InputError
from ris_pipeline.data import read_arrays, read_measurements, write_arrays
from ris_pipeline.scene import Received

OWN = measured(jittered_grid())
CONTENT: dict[str, Any] = {
    "snapshots": OWN.snapshots,
    "channel": OWN.channel,
    "codes": OWN.codes,
    "positions": OWN.positions,
    "wavelength": np.array(WAVELENGTH),
}


def npy(shape: str) -> bytes:
    """An array that says that it has a shape."""
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(24)


def zipped(path: Path, name: str, data: bytes, times: int = 1) -> bytes:
    np.savez(path, **{key: x for key, x in CONTENT.items() if f"{key}.npy" != name})
    with zipfile.ZipFile(path, "a") as file:
        for _ in range(times):
            file.writestr(name, data)
    return path.read_bytes()


def patched(path: Path, place: int, value: int) -> bytes:
    """A field of every entry of the directory, from the entry's beginning, and of every member."""
    np.savez(path, **CONTENT)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", place), (b"PK\x03\x04", place - 2)):
        at = data.find(mark)
        while at >= 0:
            struct.pack_into("<H", data, at + offset, value)
            at = data.find(mark, at + 1)
    return bytes(data)


def flipped(path: Path) -> bytes:
    np.savez_compressed(path, **CONTENT)
    data = bytearray(path.read_bytes())
    data[300:340] = bytes(40)
    return bytes(data)


NPZ: dict[str, Callable[[Path], bytes]] = {
    "unknown compression": lambda path: patched(path, 10, 77),
    "encrypted": lambda path: patched(path, 8, 1),
    "1e13 numbers": lambda path: zipped(path, "wavelength.npy", npy("(10000000000000,)")),
    "1e24 numbers": lambda path: zipped(path, "wavelength.npy", npy("(1" + "0" * 24 + ",)")),
    "no header": lambda path: zipped(path, "wavelength.npy", npy("((((((")),
    "empty": lambda path: zipped(path, "wavelength.npy", b""),
    "text": lambda path: zipped(path, "wavelength.npy", b"0.3"),
    "twice": lambda path: zipped(path, "wavelength.npy", npy("()"), 2),
    "flipped": flipped,
}


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        read_measurements(path)
    said = str(refused.value)
    assert len(said) < 600
    return said


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", NPZ)
def test_npz(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(NPZ[name](path))
    assert "is no .npz file: " in refusal(path)


def test_a_member_that_is_no_array_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **CONTENT)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("wavelength.txt", "half a metre")
    assert isinstance(read_measurements(path), Received)


SAFE = {name: x for name, x in CONTENT.items() if x.dtype.kind != "c"} | {
    f"{name}_{end}": np.ascontiguousarray(part)
    for name, x in CONTENT.items()
    if x.dtype.kind == "c"
    for end, part in (("real", x.real), ("imag", x.imag))
}


def tensors(**dtypes: str) -> bytes:
    """SAFE and one array more of every dtype, which safetensors knows."""
    data = bytearray(save(SAFE))
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size].decode().rstrip(), data[8 + size :]
    for name, dtype in dtypes.items():
        end = len(body) + 2
        header = (
            header[:-1] + f',"{name}":{{"dtype":"{dtype}","shape":[{1 if "16" in dtype else 2}],'
            f'"data_offsets":[{len(body)},{end}]}}}}'
        )
        body += bytes(2)
    return len(header).to_bytes(8, "little") + header.encode() + bytes(body)


def test_safetensors_of_types_that_numpy_lacks(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(tensors(weights="BF16", more="F8_E4M3", others="F8_E5M2"))
    assert isinstance(read_measurements(path), Received)
    path.write_bytes(tensors(noise_variance="BF16"))
    assert "noise_variance has dtype [('BF16', 'V1')]: allowed are numbers" in refusal(path)


def test_words_are_no_parts_of_a_number(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(save(SAFE, metadata={"a_real": "1", "a_imag": "2"}))
    assert "has dtype <U1: allowed are real numbers" in refusal(path)


@pytest.mark.parametrize("dtype", ["uint64", "uint32", "int8", "float16", "bool", "complex64"])
def test_a_noise_variance_of_any_type(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **CONTENT, noise_variance=np.ones(1, dtype))
    if dtype in ("bool", "complex64"):
        assert "noise_variance is torch." in refusal(path)
        return
    found = read_measurements(path)
    assert isinstance(found, Received)
    assert found.noise_variance is not None
    assert found.noise_variance.tolist() == [1]


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize("name", ["noise_variance", "wavelength"])
def test_truth_values_are_no_numbers_in_matlab_either(
    name: str, version: str, tmp_path: Path
) -> None:
    if version == "7.3":
        pytest.importorskip("h5py")
        if not os.access(sys.executable, os.X_OK):
            pytest.skip("Python may not be started")
    path = tmp_path / "x.mat"
    write_arrays(path, {**CONTENT, name: np.array(True)}, version)
    assert read_arrays(path)[name].dtype == bool
    assert name in refusal(path)


def test_infinite_parts_stay_as_they_are_and_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    real, imaginary = np.full((1, 16, 144), np.inf), np.ones((1, 16, 144))
    content = {name: x for name, x in CONTENT.items() if name != "codes"}
    np.savez(path, **content, codes_real=real, codes_imag=imaginary)
    assert np.array_equal(read_arrays(path)["codes"].imag, imaginary)
    assert "codes has 2304 non-finite entries" in refusal(path)


def test_names_of_arrays_are_cut_and_harmless(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    content: dict[str, Any] = {f"a\n\x1b[31m{place}": np.ones(1) for place in range(3000)}
    np.savez(path, **content)
    said = refusal(path)
    assert said.isprintable()
    assert said.endswith("and 2980 more")


def test_positions_beyond_any_size(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **{**CONTENT, "positions": OWN.positions * 1e300})
    assert "positions holds" in refusal(path)


def mat5(content: dict[str, Any], packed: bool) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, content, do_compression=packed)
    return file.getvalue()


ARRAYS: dict[str, np.ndarray] = {
    **{f"of_{t}": np.arange(-4 if t[0] in "if" else 0, 8).astype(t).reshape(2, -1, 2)
       for t in ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")},
    "complex128": np.arange(6).reshape(2, 3) * (1 + 2j),
    "complex64": (np.arange(6).reshape(2, 3) * (1 + 2j)).astype(np.complex64),
    "none": np.zeros((0, 3)),
    "one": np.array([[3.0]]),
    "flags": np.array([[True, False]]),
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
def test_version_5_is_read_as_scipy_reads_it(packed: bool, tmp_path: Path) -> None:
    others = {"cell": np.array([1, "a"], object), "structure": {"a": 1.0}, "word": "plane", "w": ""}
    data = mat5({**ARRAYS, **others}, packed)
    path = tmp_path / "x.mat"
    path.write_bytes(data)
    found, theirs = read_arrays(path), scipy.io.loadmat(io.BytesIO(data))
    assert set(found) == {*ARRAYS, "word", "w"}
    assert (str(found["word"]), str(found["w"])) == ("plane", "")
    for name in ARRAYS:
        assert np.array_equal(found[name], theirs[name])
        assert found[name].dtype == (bool if name == "flags" else theirs[name].dtype)


@pytest.mark.parametrize("packed", [False, True])
def test_no_part_of_a_version_5_file_ends_the_process(packed: bool, tmp_path: Path) -> None:
    """Beginnings of it, and bytes of types and sizes with a bit set that they had not."""
    data = mat5({"x": np.arange(3.0) + 1j, "word": "plane"}, packed)
    damaged = [data[:end] for end in range(0, len(data), len(data) // 6)]
    for at in range(128, len(data), max(1, (len(data) - 128) // 8)):
        changed = bytearray(data)
        changed[at] ^= 0x40
        damaged.append(bytes(changed))
    path = tmp_path / "x.mat"
    for one in damaged:
        path.write_bytes(one)
        with suppress(InputError):
            read_arrays(path)


def test_half_a_version_4_file(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    scipy.io.savemat(path, {"wavelength": np.ones((4, 4))}, format="4")
    assert read_arrays(path)["wavelength"].shape == (4, 4)
    data = path.read_bytes()
    for end in (3, 15, 21, 40, len(data) - 1):
        path.write_bytes(data[:end])
        assert "is no .mat file" in refusal(path)


def test_a_process_that_a_reader_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("h5py")
    path, killed = tmp_path / "x.mat", tmp_path / "killed"
    write_arrays(path, CONTENT, "7.3")
    killed.write_text("#!/bin/sh\nkill -SEGV $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    assert "is no .mat file: nobody can follow it" in refusal(path)
    killed.unlink()
    assert "which cannot be started (No such file or directory): save as .npz" in refusal(path)


@pytest.mark.parametrize("name", ["x.mat", "x.npz", "x.safetensors"])
@pytest.mark.parametrize("version", ["5", "7.3"])
def test_a_disk_that_fills_up(name: str, version: str, tmp_path: Path) -> None:
    if version == "7.3":
        pytest.importorskip("h5py")
    path = tmp_path / name
    write_arrays(path, {"x": np.ones(3)}, version)
    before = path.read_bytes()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (0, 100, 20_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, old[1]))
        try:
            with pytest.raises(InputError, match="cannot be written"):
                write_arrays(path, {"x": np.ones(9000)}, version)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]
