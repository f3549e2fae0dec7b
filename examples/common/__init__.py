"""What the examples share: data, vocabularies and the training loop. No model code."""
