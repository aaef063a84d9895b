"""Draw the post-mortem's before and after from the stored curves: `python golden/draw.py`."""

from pathlib import Path

from ris_pipeline.report.figures import save_figure
from ris_pipeline.verification.figures import post_mortem_figure
from ris_pipeline.verification.golden import read_curve
from ris_pipeline.verification.post_mortem import first_log

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "post_mortem.png"


def main() -> None:
    curves = {path.stem: read_curve(path) for path in (HERE / "curves").glob("*.csv")}
    save_figure(post_mortem_figure(curves, first_log()), PICTURE)


if __name__ == "__main__":
    main()
