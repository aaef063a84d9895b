"""How small the errors of any estimator can be."""
