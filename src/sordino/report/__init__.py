"""Tables and pages: runs side by side, studies, costs, and the figures that papers print."""
