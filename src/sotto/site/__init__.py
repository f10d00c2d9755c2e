"""A page of plain files on which a student works in the reader's browser: ``sotto export STUDENT --web FOLDER``."""

from sotto.site.build import Site, write_site

__all__ = ["Site", "write_site"]
