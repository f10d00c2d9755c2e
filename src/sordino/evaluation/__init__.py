"""Measure: scores of a model on a test set, their statistics, and what a network costs."""
