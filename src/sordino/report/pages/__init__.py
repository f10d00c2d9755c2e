"""HTML pages: reports of runs and studies, and the player that they share."""
