"""What the receiver has, checked and boiled down to what an estimator needs of it."""
