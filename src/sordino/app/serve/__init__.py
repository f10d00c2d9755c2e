"""A page to listen to models: ``sordino serve``. It runs on the user's machine and sends nothing anywhere."""

from sordino.app.serve.jobs import Limits
from sordino.app.serve.server import serving

__all__ = ["Limits", "serving"]
