"""From a recipe to a result: train, evaluate, export, compare runs, and studies of many runs."""
