"""Places from a covariance: spatial spectra and the tops of their peaks."""
