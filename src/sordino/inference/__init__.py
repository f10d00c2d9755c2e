"""Run a finished model: on an array, a file, a folder, a stream or a microphone, with memory that does not grow.

The first tier: torch is imported only where a checkpoint or a torch network is given. ``model`` opens whatever a user
names as a model, ``enhance`` takes arrays, ``files`` and ``folders`` what their names say, ``streamer`` and ``pipe``
sound as it comes, ``live`` the microphone.
"""
