"""Enhance sound as it comes, with any network that runs block by block.

``Streamer`` gives, piece by piece, what ``sotto.enhance`` gives on the whole; ``enhance_stream`` puts it between two
binary files. No torch here until a checkpoint or a network is given; the student that ships runs on onnxruntime.
"""

from sotto.stream.between import enhance_stream
from sotto.stream.engine import Engine
from sotto.stream.streamer import Streamer, Timing

__all__ = ["Engine", "Streamer", "Timing", "enhance_stream"]
