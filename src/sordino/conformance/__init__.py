"""What every method, network, loss, metric and source owes, as checks: for sordino's own and for a user's."""
