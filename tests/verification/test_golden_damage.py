"""A stored curve or page that is damaged: one line that names the file and the cell."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_golden import FIRST, Golden, golden  # noqa: F401

from ris_pipeline._curves import read_curve
from ris_pipeline._errors import InputError
from ris_pipeline.verification.golden import read_page, read_stored

CSV = ",train,validation\n0,2.0,3\n1,1.5e-3,\n"
CURVES = Path(__file__).parents[2] / "golden" / "curves"


def refused(path: Path, data: bytes | str, read=read_curve) -> str:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(InputError) as caught:
        read(path)
    line = str(caught.value)
    assert repr(str(path)) in line
    assert "\n" not in line
    assert len(line) < 500
    return line


def test_a_curve_is_read_to_the_last_bit(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text(CSV)
    curve = read_curve(path)
    assert list(curve) == ["train", "validation"]
    np.testing.assert_array_equal(curve["validation"], [3.0, np.nan])
    value = 0.1 + 0.2
    path.write_text(f",x\n0,{value!r}\n")
    assert read_curve(path)["x"][0] == value


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "is cut off"),
        (",train,validation\n", "is cut off"),
        (CSV[:-1] + "7", "is cut off"),
        (CSV[:-4], "is cut off"),
        (bytes(range(256)), "is not UTF-8"),
        ("\0\0\0\n\0\n", "row 1"),
        (CSV.replace("2.0", "two"), "row 2, column 'train': 'two' is not a finite number"),
        (CSV.replace("2.0", "inf"), "row 2, column 'train': 'inf'"),
        (CSV.replace("2.0", "nan"), "row 2, column 'train': 'nan'"),
        (CSV.replace("2.0", "1e999"), "row 2, column 'train': '1e999'"),
        (CSV.replace("2.0", "2_0"), "row 2, column 'train': '2_0'"),
        (CSV.replace("2.0", "٣"), "row 2, column 'train': '٣'"),
        (CSV.replace("1.5e-3", "x" * 9999), "row 3, column 'train': 'xxx"),
        (CSV.replace("1,1.5e-3,", "1,1.5e-3"), "row 3 has 2 cells: allowed are 3"),
        (CSV.replace("1,1.5e-3,", ""), "row 3 has 0 cells"),
        (CSV.replace("1,1.5e-3", "2,1.5e-3"), "row 3, its index: '2' is not 1"),
        (CSV.replace("validation", "train"), "row 1"),
        (CSV.replace("validation", ""), "row 1"),
        (CSV.replace("2.0", '"2.0'), "is not CSV"),
        ("{}", "is cut off"),
    ],
)
def test_a_damaged_curve(data: bytes | str, said: str, tmp_path: Path) -> None:
    assert said in refused(tmp_path / "curve.csv", data)


def page(**changes: object) -> str:
    stored = json.loads((CURVES / "bug_1.json").read_text())
    return json.dumps({**stored, **changes})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "is not strict JSON"),
        ("{", "is not strict JSON"),
        (b"\xff", "is not UTF-8"),
        ("[" * 100_000, "is not strict JSON"),
        ("NaN", "NaN is not JSON"),
        ("null", "all of it"),
        ("[]", "all of it"),
        (page(columns=None), "columns"),
        (page(columns={"train": 7}), "columns.train"),
        (page(length={"train": "6"}), "length.train"),
        (page(length={"train": True}), "length.train"),
        (page(versions={}), "versions"),
        (page(settings_sha256=1), "settings_sha256"),
        (page(other=1), "other"),
    ],
)
def test_a_damaged_page(data: bytes | str, said: str, tmp_path: Path) -> None:
    assert said in refused(tmp_path / "page.json", data, read_page)


@pytest.mark.parametrize("path", sorted(CURVES.glob("*.csv")), ids=lambda path: path.stem)
def test_every_stored_curve_can_be_read(path: Path) -> None:
    told, curve = read_stored(CURVES, path.stem)
    assert curve.keys() == told["columns"].keys()


def test_rows_that_the_page_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "bug_1.csv").write_text(",train\n0,1\n")
    (tmp_path / "bug_1.json").write_text(page())
    with pytest.raises(InputError, match="has 1 rows of 'train': its page says 6"):
        read_stored(tmp_path, "bug_1")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("quick.csv", b""),
        ("quick.csv", bytes(range(256))),
        ("quick.csv", b",train,validation\n0,2,3\n1,inf,2\n"),
        ("quick.json", b""),
        ("quick.json", b"[[[["),
    ],
)
def test_golden_says_one_line_and_update_mends_it(
    name: str,
    data: bytes,
    golden: Golden,  # noqa: F811
) -> None:
    golden.run(FIRST, "--update")
    before = {path.name: path.read_bytes() for path in golden.curves.iterdir()}
    (golden.curves / name).write_bytes(data)
    code, text = golden.run(FIRST)
    assert code == 1
    assert "Traceback" not in text
    assert name in text
    assert "stores it anew" in text
    assert golden.run(FIRST, "--update")[0] == 0
    assert {path.name: path.read_bytes() for path in golden.curves.iterdir()} == before
