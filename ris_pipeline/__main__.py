"""`python -m ris_pipeline` is `ris-pipeline`."""

from ris_pipeline.cli import main

if __name__ == "__main__":
    main()
