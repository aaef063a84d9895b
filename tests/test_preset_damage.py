"""Whatever a preset or an override holds: settings, or one line."""

import os
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from ris_pipeline._errors import InputError
from ris_pipeline.config import (
    LossWeights,
    Scenario,
    Settings,
    Training,
    load_settings,
    preset_names,
)
from ris_pipeline.config._sizes import _grid_points
from ris_pipeline.config.presets import check_used
from ris_pipeline.localization.grid_search.grid import grid_size

PRESETS = Path(__file__).parents[1] / "ris_pipeline" / "presets"


def refused(*overrides: str, preset: str = "small") -> str:
    with pytest.raises(InputError) as caught:
        load_settings(preset, overrides)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 1500
    return line


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.epochs=true", "epochs = True"),
        ("training.epochs=2.0", "epochs = 2.0"),
        ('seed="7"', "seed = '7'"),
        ("seed=true", "seed = True"),
        ('training.fixed_scenes="yes"', "fixed_scenes = 'yes'"),
        ("training.fixed_scenes=1", "fixed_scenes = 1"),
        ("training.lr_heads=true", "lr_heads = True"),
        ('training.lr_heads="1e-3"', "lr_heads = '1e-3'"),
        ("scenario.snr_db=[true, 2]", "snr_db.0 = True"),
        ("scenario.snr_db=[nan, 2]", "snr_db.0 = nan"),
        ("scenario.codebook_seed=0.5", "codebook_seed = 0.5"),
        ("scenario.impairments.fixed=0", "fixed = 0"),
        ("scenario.codebook_seed=" + "9" * 40, "codebook_seed = 9999"),
        ("seed=" + "9" * 5000, "seed = '9999"),
        ("seed=0x" + "f" * 9000, "seed = "),
        ("scenario.codebook=1979-05-27", "codebook = datetime"),
        ("seed=" + "[" * 5000 + "]" * 5000, "seed = "),
        ("scenario.panel=[100000, 100000]", "allowed are 8"),
        ("scenario.panel=[9000000000000000000, 9000000000000000000]", "allowed are 8"),
        ("scenario.antennas=1000000000000", "the sensing matrix would take"),
        ("scenario.dft_shape=[1000000, 1000000]", "codes would take"),
        ("scenario.distance=[1e-4, 1.0]", "distance = "),
        ("=3", "allowed is key=value"),
        ("epochs", "allowed is key=value"),
        ("seed.x=3", "seed = {'x': 3}"),
    ],
)
def test_an_override_that_is_not_allowed(override: str, said: str) -> None:
    assert said in refused(override)


def test_every_typo_at_once_with_what_was_meant() -> None:
    line = refused("training.epoch=3", "scenario.pannel=[3, 3]", "training.batches=0")
    assert "training.epoch: no such setting; did you mean epochs?" in line
    assert "scenario.pannel: no such setting; did you mean panel?" in line
    assert "training.batches = 0" in line
    assert "did you mean small?" in refused(preset="smal")


def test_every_weight_zero_is_no_loss() -> None:
    none = [f"loss.weights.{name}=0" for name in LossWeights.model_fields]
    assert "every weight is 0" in refused(*none)
    phase = "{name = 'joint', until = 1.0, scale = {nmse = 0}}"
    only = [f"{key}" for key in none if "nmse" not in key]
    assert "every weight is 0 in joint" in refused(*only, f"training.curriculum=[{phase}]")
    assert load_settings("small", only).loss.weights.nmse > 0


def test_a_replacement_is_as_strict() -> None:
    for change in ({"epochs": True}, {"epochs": "3"}, {"fixed_scenes": "no"}):
        with pytest.raises(InputError):
            Training().replace(**change)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("wide", "seed = 1".encode("utf-16"), "is not UTF-8: byte 0 is 0xff"),
        ("latin", b"# caf\xe9\nseed = 1", "is not UTF-8: byte 5 is 0xe9"),
        ("binary", bytes(range(256)), "is not UTF-8"),
        ("deep", b"x = " + b"[" * 20000 + b"]" * 20000, "is not TOML: nested too deep"),
        ("huge", b"seed = " + b"9" * 5000, "is not TOML"),
        ("torn", b"[scenario\n", "is not TOML"),
        ("nul", b"seed = 1\0", "is not TOML"),
        ("table", b"scenario = 3", "scenario = 3"),
    ],
)
def test_a_file_that_is_no_preset(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_bytes(data)
    assert said in refused(preset=str(path))


def test_a_preset_that_cannot_be_read(tmp_path: Path) -> None:
    assert "no such file" in refused(preset=str(tmp_path / "absent.toml"))
    assert "cannot be read" in refused(preset="x" * 300 + ".toml")
    assert "cannot be read" in refused(preset=f"{tmp_path}/a\0b.toml")
    assert "did you mean" not in refused(preset="x" * 300)
    (tmp_path / "folder.toml").mkdir()
    assert "cannot be read" in refused(preset=str(tmp_path / "folder.toml"))
    locked = tmp_path / "locked.toml"
    locked.touch(0o000)
    if not os.access(locked, os.R_OK):
        assert "cannot be read" in refused(preset=str(locked))


def test_a_command_refuses_what_it_does_not_use() -> None:
    check_used(["scenario.snr_db=[0, 1]", "seed=1"], "evaluate", ("scenario", "seed"))
    with pytest.raises(InputError, match=r"training.epochs=3': evaluate does not use it"):
        check_used(["training.epochs=3"], "evaluate", ("scenario", "seed"))


@pytest.mark.parametrize("panel", [(1, 3), (4, 2), (12, 12), (40, 24)])
def test_the_search_grid_is_no_larger_than_is_said(panel: tuple[int, int]) -> None:
    for wavelength in (0.03, 0.3):
        scenario = Scenario(panel=panel, wavelength=wavelength, sources=(1, 2))
        assert grid_size(scenario) <= _grid_points(scenario)


TEXTS = {name: (PRESETS / f"{name}.toml").read_bytes() for name in preset_names()}


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(TEXTS[draw(st.sampled_from(sorted(TEXTS)))])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 8))
        data[at : at + cut] = draw(st.binary(max_size=8) | st.sampled_from(WORDS))
    return bytes(data)


WORDS = (
    b"true", b"nan", b"inf", b"-1", b"1e999", b"9" * 30, b"[[", b"{}", b'"x"', b"0x", b"\xff", b"=",
)  # fmt: skip


@given(mutated() | st.binary(max_size=200))
@how(max_examples=150)
def test_any_bytes_are_settings_or_one_line(tmp_path_factory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    path.write_bytes(data)
    with suppress(InputError):
        assert isinstance(load_settings(str(path)), Settings)
        tomllib.loads(data.decode())
