"""Programs for users who write no code: the demo, the page that ``sordino serve`` opens, and pages for browsers."""
