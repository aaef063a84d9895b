"""Estimators from the literature to compare with, one a file, all called as `locate` is."""
