"""A page on which models are heard: ``sotto serve``. It runs on the user's machine and sends nothing anywhere."""

from sotto.web.server import serving
from sotto.web.work import Limits

__all__ = ["Limits", "serving"]
