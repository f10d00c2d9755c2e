"""What people use without writing code: the demo, the page that ``sordino serve`` opens, and pages for browsers."""
