"""Checks that every method, network, loss, metric and source must pass: sordino's own and a user's."""
