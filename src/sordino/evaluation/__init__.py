"""Evaluation: scores of a model on a test set, their statistics, and the cost and speed of a network."""
