"""Networks that others published as ONNX: recognised by their inputs, run hop by hop or as a whole, with their delay
measured.

``recognise`` names the kind of a graph, ``engines`` and ``spectra`` run it, ``probe`` measures its delay, level and
polarity, ``presets`` holds what published networks need and do not say, and ``model`` puts these together.
"""
