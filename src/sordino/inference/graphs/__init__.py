"""Graphs in ONNX: sordino's own, and those that other projects published.

``onnx_graph`` opens and runs what ``sordino export`` writes. For graphs of other projects, ``recognise`` names the kind
by the inputs, ``engines``, ``whole`` and ``spectra`` run it, ``delay`` measures delay, level and polarity, ``presets``
holds what published networks need and do not say, and ``external`` puts these together.
"""
