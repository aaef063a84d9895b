"""Draw the post-mortem's before and after from the stored curves: `python golden/draw.py`."""

from pathlib import Path

import pandas as pd

from ris_pipeline.report.figures import save_figure
from ris_pipeline.verification.figures import post_mortem_figure
from ris_pipeline.verification.post_mortem import first_log

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "post_mortem.png"


def main() -> None:
    frames = {path.stem: pd.read_csv(path, index_col=0) for path in (HERE / "curves").glob("*.csv")}
    curves = {
        name: {column: frame[column].to_numpy() for column in frame.columns}
        for name, frame in frames.items()
    }
    save_figure(post_mortem_figure(curves, first_log()), PICTURE)


if __name__ == "__main__":
    main()
