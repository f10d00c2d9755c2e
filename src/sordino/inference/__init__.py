"""Run a finished model: on an array, a file, a folder, a stream or a microphone, with memory that does not grow.

The first tier: torch is imported only where a checkpoint or a torch network is given. ``resolve`` says what a user
named as a model; ``model`` opens it for whole signals and ``engine`` for blocks. ``enhance`` takes arrays, ``files``
and ``folders`` what their names say, ``streamer`` and ``pipe`` a stream, ``live`` the microphone. Below them lie
``pipeline`` and ``windows`` (long signals in blocks), ``blend`` (what is mixed into the output), ``graphs`` (ONNX
files), and ``contracts`` between all of these.
"""
