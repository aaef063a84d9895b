"""The estimator of this package, `locate`."""
