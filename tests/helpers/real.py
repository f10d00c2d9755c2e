"""The corpus of real recordings, which does not ship: in ``data/corpus``, where recipes look, or beside the project."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PLACES = (_ROOT / "data" / "corpus", _ROOT.parent / "shared" / "corpus")

CORPUS = next((place for place in _PLACES if place.is_dir()), _PLACES[0])
PAIRS = CORPUS / "pairs"
MISSING = "needs the corpus of real recordings in data/corpus"
"""The reason for which a test that needs it is skipped."""
