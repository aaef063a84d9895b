"""Measurements in files: every form gives the same arrays, and what does not fit says the fix."""

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from own_panels import SOURCE, WAVELENGTH, Own, jittered_grid, measured, steering
from safetensors.numpy import save_file

from ris_pipeline import InputError, load_settings
from ris_pipeline.cli import main
from ris_pipeline.data import (
    OwnCovariance,
    read_arrays,
    read_measurements,
    scene_arrays,
    write_arrays,
    write_csv,
    write_mat,
    write_scenes,
)
from ris_pipeline.data.measurements import NAMES
from ris_pipeline.localization import locate, locate_from_covariance
from ris_pipeline.scene import BelievedPanel, Panel, Received, save_panel, simulate

OWN = measured(jittered_grid())
DEGREES = pytest.approx(tuple(np.degrees(SOURCE[:2])), abs=0.2)

Arrays = dict[str, Any]


def arrays(own: Own = OWN) -> Arrays:
    return {
        "snapshots": own.snapshots,
        "channel": own.channel,
        "codes": own.codes,
        "positions": own.positions,
        "wavelength": np.array(WAVELENGTH),
    }


def save_npz(path: Path, content: Arrays) -> None:
    np.savez(path, **content)


def save_safetensors(path: Path, content: Arrays) -> None:
    """As a user would who does not know this package."""
    tensors: Arrays = {}
    for name, value in content.items():
        array = np.asarray(value)
        parts = (
            {"_real": array.real, "_imag": array.imag} if array.dtype.kind == "c" else {"": array}
        )
        tensors |= {name + end: np.ascontiguousarray(part) for end, part in parts.items()}
    save_file(tensors, path)


def save_v5(path: Path, content: Arrays) -> None:
    scipy.io.savemat(path, content)


def save_v73(path: Path, content: Arrays) -> None:
    """The layout that MATLAB's `save -v7.3` writes: 512 bytes of header, axes reversed, at least
    two of them and none of length one at the end, complex numbers as pairs."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in content.items():
            array = np.asarray(value)
            if array.dtype.kind == "U":
                letters = [[ord(letter)] for letter in str(array)]
                item = file.create_dataset(name, data=np.array(letters, np.uint16))
                item.attrs["MATLAB_class"] = np.bytes_("char")
                continue
            array = np.atleast_2d(array)
            while array.ndim > 2 and array.shape[-1] == 1:
                array = array[..., 0]
            stored = array.T
            if array.dtype.kind == "c":
                stored = np.empty(array.T.shape, [("real", "<f8"), ("imag", "<f8")])
                stored["real"], stored["imag"] = array.T.real, array.T.imag
            item = file.create_dataset(name, data=stored)
            item.attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as head:
        head.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM")


SAVERS = {
    "own.npz": save_npz,
    "own.safetensors": save_safetensors,
    "v5.mat": save_v5,
    "v73.mat": save_v73,
}


@pytest.fixture(params=SAVERS)
def form(request: pytest.FixtureRequest, tmp_path: Path):
    """(write, path) of each form."""
    return SAVERS[request.param], tmp_path / request.param


def test_every_form_gives_the_same_measurement(form) -> None:
    write, path = form
    write(path, arrays())
    found = read_measurements(path)
    assert isinstance(found, Received)
    for name in ("snapshots", "channel", "codes"):
        given = torch.tensor(getattr(OWN, name))
        assert torch.equal(getattr(found, name), given if name == "codes" else given[None])
    assert np.array_equal(found.panel.positions, OWN.positions)
    assert found.panel.wavelength == WAVELENGTH


def test_an_estimator_of_measurements_is_none_of_a_covariance(tmp_path: Path, capsys) -> None:
    content = {"covariance": np.eye(144) + 0j, "positions": OWN.positions}
    save_npz(tmp_path / "x.npz", {**content, "wavelength": np.array(WAVELENGTH)})
    words = ["locate", str(tmp_path / "x.npz"), "--number", "1"]
    assert "allowed with measurements" in run(capsys, *words, "--estimator", "omp")[2]
    assert run(capsys, *words, "--method", "bartlett")[0] == 0


def test_limits_and_noise_are_read(form) -> None:
    write, path = form
    more = {"distance": np.array([1.0, 4.0]), "noise_variance": np.array([OWN.noise_variance])}
    if path.suffix != ".safetensors":
        more["wavefront"] = np.array("fresnel")
    write(path, {**arrays(), **more})
    found = read_measurements(path)
    assert isinstance(found, Received)
    assert found.scenario.distance == (1, 4)
    assert found.noise_variance == pytest.approx(OWN.noise_variance)
    assert found.scenario.wavefront == ("fresnel" if "wavefront" in more else "spherical")


def test_one_antenna_survives_matlab_which_drops_axes_of_one(form) -> None:
    write, path = form
    one = {"snapshots": OWN.snapshots[..., :1], "channel": OWN.channel[:1]}
    write(path, {**arrays(), **one})
    found = read_measurements(path)
    assert isinstance(found, Received)
    assert found.snapshots.shape == (1, 1, 16, 1)


def test_a_covariance_is_read_too(form) -> None:
    write, path = form
    a = steering(OWN.positions, *SOURCE)
    content = {"covariance": np.outer(a, a.conj()) + 0.01 * np.eye(len(a))}
    write(path, {**content, "positions": OWN.positions, "wavelength": np.array(WAVELENGTH)})
    found = read_measurements(path)
    assert isinstance(found, OwnCovariance)
    at = locate_from_covariance(found.covariance, found.scenario, 1)
    assert float(at.distance[0, 0]) == pytest.approx(SOURCE[2], abs=1e-4)


SCENARIO = load_settings("golden").scenario


@pytest.mark.parametrize("name", ["s.npz", "s.safetensors", "s.mat", "s73.mat"])
def test_scenes_come_back_as_they_were_written(name: str, tmp_path: Path) -> None:
    scenes, version = simulate(SCENARIO, 0, torch.arange(3)), "7.3" if "73" in name else "5"
    if version == "7.3":
        pytest.importorskip("h5py")
    write_scenes(tmp_path / name, [scenes], version)
    found = read_measurements(tmp_path / name)
    assert isinstance(found, Received)
    for part in ("snapshots", "channel", "codes", "noise_variance"):
        assert torch.equal(getattr(found, part), getattr(scenes, part))
    assert torch.allclose(found.panel.positions, scenes.panel.positions)
    assert found.scenario.distance == SCENARIO.distance
    mine, theirs = locate(found, 1), locate(scenes, 1)
    assert torch.allclose(mine.azimuth, theirs.azimuth, atol=1e-3, equal_nan=True)
    assert (
        read_arrays(tmp_path / name)["true_count"].ravel().tolist() == scenes.sources.count.tolist()
    )
    assert [path.name for path in tmp_path.iterdir()] == [name]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "alias": ({"y": OWN.snapshots, "snapshots": None}, "y has to be called snapshots, if it is"),
    "missing": ({"wavelength": None}, "wavelength is missing: the file holds channel, codes, pos"),
    "misspelt": ({"noise_varience": np.ones(1)}, "did you mean noise_variance?"),
    "both": ({"covariance": np.eye(144) + 0j}, "covariance and snapshots: allowed is one of them"),
    "parts": (
        {"snapshots": np.stack((OWN.snapshots.real, OWN.snapshots.imag), -1)},
        "become y[..., 0] + 1j * y[..., 1]",
    ),
    "turned": ({"channel": OWN.channel.T}, "numpy.transpose(channel, (0, 2, 1)) has it"),
    "half": (
        {"codes": None, "codes_real": OWN.codes.real},
        "codes_real: allowed are codes_real",
    ),
    "wavelengths": ({"wavelength": np.array([0.3, 0.3])}, "allowed is one real number"),
    "limits": ({"distance": np.array([1.0, 2.0, 3.0])}, "allowed are two real numbers"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_does_not_fit_says_how_to_mend_it(
    changes: dict[str, Any], message: str, form, capsys: pytest.CaptureFixture[str]
) -> None:
    write, path = form
    content = {**arrays(), **changes}
    write(path, {name: value for name, value in content.items() if value is not None})
    code, out, err = run(capsys, "locate", str(path))
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith(f"error: {str(path)!r}: ")
    assert err.count("\n") == 1


ODD = {
    "number": np.array(3.0),
    "imaginary": np.array(3j),
    "empty": np.zeros((0, 3)),
    "word": np.array("x"),
    "nan": np.full((1, 16, 144), np.nan + 0j),
    "six axes": np.ones((1,) * 6) + 0j,
    "flags": np.array([True, False]),
    "tiny": np.array(1e-300),
    "huge": np.array([-1e300, 1e300]),
    "half": np.ones((144, 3), np.float16),
}


def refusal(path: Path) -> str:
    """Why a file was refused; nothing where its sources were located."""
    try:
        found = read_measurements(path)
        if isinstance(found, OwnCovariance):
            locate_from_covariance(found.covariance, found.scenario, 1)
        else:
            assert locate(found, 1).count.tolist() == [1]
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", NAMES[:11])
def test_odd_values_are_one_line_or_are_located(
    name: str, value: np.ndarray, tmp_path: Path, untyped
) -> None:
    content = {**arrays(), name: value}
    if name == "covariance":
        content = {key: content[key] for key in ("covariance", "positions", "wavelength")}
    save_npz(tmp_path / "x.npz", content)
    with untyped():
        reason = refusal(tmp_path / "x.npz")
    assert len(reason) < 400
    assert "\n" not in reason


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".mat"])
@pytest.mark.parametrize(
    "content", [b"", b"nothing of the kind", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"]
)
def test_rubbish_is_one_line(suffix: str, content: bytes, tmp_path: Path, capsys) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    code, out, err = run(capsys, "locate", str(path))
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_file_that_was_cut_off(form, capsys) -> None:
    write, path = form
    write(path, arrays())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, _, err = run(capsys, "locate", str(path))
    assert (code, err.count("\n")) == (2, 1)


def test_other_hdf5_files_are_not_guessed_at(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.mat", "w") as file:
        file["snapshots"] = np.ones(3)
    with pytest.raises(InputError, match="the order of its axes is not known"):
        read_measurements(tmp_path / "x.mat")


def test_h5py_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    (tmp_path / "x.mat").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(InputError, match="the extra `matlab` brings it"):
        read_arrays(tmp_path / "x.mat")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["locate", "no.npz"], "'no.npz': no such file"),
        (["locate", "x.txt"], "allowed are files named .safetensors, .npz, .mat"),
        (["locate", "own.npz", "--json", "--csv", "x.csv"], "allowed is one of --json, --csv and"),
        (["locate", "own.npz", "--mat", "x.csv"], "allowed are files named .mat"),
        (["locate", "own.npz", "--estimator", "best"], "estimator = 'best': allowed are maximum"),
        (["locate", "own.npz", "--number", "9"], "number = 9: allowed is 1..5"),
        (["locate", "own.npz", "--csv", "no/such/x.csv"], "cannot be written"),
        (["locate", "own.npz", "--method", "nonsense"], "method = 'nonsense': allowed with"),
        (["locate", "own.npz", "--method", "music"], "method = 'music': allowed with a covariance"),
        (["simulate", "x.npz", "--shard", "-1"], "shard = -1: allowed with a folder"),
        (["simulate", "x.npz", "--matlab", "7.3"], "matlab = '7.3': allowed with a file named"),
        (["simulate", "x", "--matlab", "5"], "matlab = '5': allowed with a file named .mat"),
        (["simulate", "x.npz", "--seed", "-1"], "seed = -1"),
        (["localize", "--seed", "-1"], "seed = -1"),
        (["localize", "--seed", "18446744073709551616"], "seed = 18446744073709551616"),
        (["simulate", "x.hdf"], "suffix of OUT = '.hdf': allowed are .safetensors"),
        (["simulate", "x.mat", "--matlab", "6"], "matlab = '6': allowed are 5, 7.3"),
        (["simulate", "x.npz", "--scenes", "0"], "scenes = 0: allowed is 1"),
        (["simulate", "x.npz", "--scenes", "30000"], "name a folder"),
        (["simulate", "no/x.npz", "--scenes", "1"], "cannot be written"),
        (["simulate", "x.npz", "--split", "all"], "allowed are train, validation, test"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_leaves_nothing_behind(
    arguments: list[str], message: str, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_npz(Path("own.npz"), arrays())
    code, out, err = run(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["own.npz"]


OWN_FILES = {
    "csv": ["locate", "own.npz", "--csv", "own.npz"],
    "csv of another name": ["locate", "own.npz", "--csv", "thesis.tex"],
    "csv, a folder": ["locate", "own.npz", "--csv", "."],
    "csv, none": ["locate", "own.npz", "--csv", ""],
    "mat": ["locate", "own.mat", "--mat", "own.mat"],
    "mat by a link": ["locate", "own.mat", "--mat", "link.mat"],
    "report": ["report", ".", "--out", "own.npz"],
    "calibrate": ["calibrate", "--out", "own.npz"],
    "calibrate, a folder": ["calibrate", "--out", "/"],
    "tune": ["tune", "--study", "x.log", "--out", "own.npz"],
    "tune its preset": ["tune", "--study", "x.log", "--out", "p.toml", "--preset", "p.toml"],
    "scenes of a panel": [
        "simulate",
        "p.safetensors",
        "--set",
        "scenario.panel_file=p.safetensors",
    ],
}


@pytest.mark.parametrize("arguments", OWN_FILES.values(), ids=OWN_FILES)
def test_no_command_writes_over_what_it_reads_or_what_is_of_another_kind(
    arguments: list[str], tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_npz(Path("own.npz"), arrays())
    save_v5(Path("own.mat"), arrays())
    Path("link.mat").symlink_to("own.mat")
    Path("p.toml").write_text("seed = 3\n")
    save_panel(Path("p.safetensors"), BelievedPanel(Panel(torch.ones(4, 3), 0.3), torch.ones(4)))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, out, err = run(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "allowed" in err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_command_line_from_simulate_to_tables(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["--preset", "golden", "--scenes", "3", "--seed", "7"]
    assert run(capsys, "simulate", "s.npz", *few)[1] == "s.npz: 3 scenes\n"
    _, text, _ = run(capsys, "locate", "s.npz")
    assert text.startswith("Estimates: ")
    assert max(map(len, text.splitlines())) <= 80
    _, printed, _ = run(capsys, "locate", "s.npz", "--json")
    scenes = json.loads(printed)["scenes"]
    assert [scene["scene"] for scene in scenes] == [0, 1, 2]
    sources = [source for scene in scenes for source in scene["sources"]]
    assert run(capsys, "locate", "s.npz", "--csv", "s.csv")[0] == 0
    with Path("s.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["azimuth_deg"]) for row in rows] == [s["azimuth_deg"] for s in sources]
    assert run(capsys, "locate", "s.npz", "--mat", "s.mat")[0] == 0
    table = scipy.io.loadmat("s.mat")
    assert table["azimuth_deg"].ravel().tolist() == [s["azimuth_deg"] for s in sources]
    assert table["count"].ravel().tolist() == [scene["count"] for scene in scenes]
    assert table["scene"].min() >= 1


def test_tables_without_a_source_have_their_columns(tmp_path: Path) -> None:
    # Noise alone, far above what any source could be told in.
    noise = {**arrays(), "snapshots": np.random.default_rng(0).normal(size=(1, 16, 16)) + 0j}
    found = locate(Received.from_arrays(**{**noise, "wavelength": WAVELENGTH}))
    assert found.count.tolist() == [0]
    write_csv(tmp_path / "x.csv", found)
    assert (tmp_path / "x.csv").read_text().startswith("scene,source,azimuth_deg")
    write_mat(tmp_path / "x.mat", found)
    assert scipy.io.loadmat(tmp_path / "x.mat")["azimuth_deg"].size == 0
    assert "0 sources" in repr(found)


def test_a_writer_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    write_arrays(path, {"a": np.ones(2)})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_arrays(path, {"a": np.array([object()], dtype="V8")})  # type: ignore[list-item]
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.mat"]


OCTAVE = """
[v, h] = meshgrid(0:11, 0:11);
positions = 0.15 * [h(:) - 5.5, v(:) - 5.5, zeros(144, 1)];
wavelength = 0.3;
rand("seed", 1); randn("seed", 1);
channel = (randn(16, 144) + 1i * randn(16, 144)) / sqrt(2);
codes = exp(2i * pi * rand(1, 16, 144));
u = sin(0.3) * cos(0.1); w = cos(0.3) * cos(0.1);
p = 1.5 * [u, sin(0.1), w];
a = exp(2i * pi / wavelength * (1.5 - sqrt(sum((p - positions) .^ 2, 2)))) / 12;
snapshots = zeros(1, 16, 16);
for l = 1:16
  snapshots(1, l, :) = channel * (squeeze(codes(1, l, :)) .* a);
end
snapshots = snapshots + 0.02 * (randn(1, 16, 16) + 1i * randn(1, 16, 16));
"""


@pytest.mark.skipif(shutil.which("octave-cli") is None, reason="octave-cli is not installed")
@pytest.mark.parametrize("version", ["-v6", "-v7"])
def test_a_file_that_octave_wrote(version: str, tmp_path: Path, capsys) -> None:
    names = "'snapshots', 'channel', 'codes', 'positions', 'wavelength'"
    script = f"{OCTAVE}\nsave('{version}', 'own.mat', {names});"
    subprocess.run(["octave-cli", "--quiet", "--eval", script], cwd=tmp_path, check=True)
    code, text, _ = run(capsys, "locate", str(tmp_path / "own.mat"), "--json")
    assert code == 0
    (scene,) = json.loads(text)["scenes"]
    (source,) = scene["sources"]
    assert (source["azimuth_deg"], source["elevation_deg"]) == DEGREES
    assert source["distance_m"] == pytest.approx(SOURCE[2], abs=0.02)


@pytest.mark.skipif(shutil.which("octave-cli") is None, reason="octave-cli is not installed")
def test_octave_reads_what_we_write(tmp_path: Path) -> None:
    scenes = simulate(SCENARIO, 0, torch.arange(2))
    write_scenes(tmp_path / "s.mat", [scenes])
    script = (
        "load('s.mat'); printf('%d ', size(snapshots)); printf('%.6f', real(channel(2, 1, 3)));"
    )
    printed = subprocess.run(
        ["octave-cli", "--quiet", "--eval", script],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    shape = [int(x) for x in printed[:-1]]
    assert shape == list(scenes.snapshots.shape)
    assert float(printed[-1]) == pytest.approx(float(scenes.channel[1, 0, 2].real), abs=1e-6)


def test_what_is_written_is_the_schema() -> None:
    content = scene_arrays([simulate(SCENARIO, 0, torch.arange(2))])
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in content)
