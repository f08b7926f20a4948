"""notMNIST, which tensorflow_datasets lacks."""
