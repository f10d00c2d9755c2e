"""Code that is not sordino's: modules that a person named, and names that installed packages add to the catalogues."""
