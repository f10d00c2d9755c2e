"""A page of plain files on which a student works in the reader's browser: ``sordino export STUDENT --web FOLDER``."""

from sordino.app.site.build import Site, check_folder, write_site

__all__ = ["Site", "check_folder", "write_site"]
