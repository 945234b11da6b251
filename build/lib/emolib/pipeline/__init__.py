"""The pipeline that the notebooks are: stages, dvc.yaml, runs, figures, releases."""
