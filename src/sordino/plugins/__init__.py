"""Code that is not sordino's: modules that the user named, and names that installed packages add to the catalogues."""
