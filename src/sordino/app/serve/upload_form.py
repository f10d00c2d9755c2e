"""Counts the bytes of a form besides its file, which the reader of the form keeps in memory."""

from __future__ import annotations


class TooLarge(Exception):
    """Error: a form has more than one file, or its fields are too large."""


class UploadForm:
    """Follows the body of an upload, ``multipart/form-data``, and keeps none of it.

    Args:
        content_type: the header of the request, which holds the boundary.
        most: bytes that fields that are no file may have together.

    Raises:
        ValueError: the request holds no form.
    """

    def __init__(self, content_type: str, most: int) -> None:
        from python_multipart.multipart import MultipartParser, parse_options_header

        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or b"boundary" not in options:
            raise ValueError("no form")
        self._options_of = parse_options_header
        self._left, self._files = most, 0
        self._in_file = False
        self._header = [b"", b""]
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._begin,
                "on_header_begin": self._begin_header,
                "on_header_field": lambda data, start, end: self._extend(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._extend(1, data[start:end]),
                "on_header_end": self._end_header,
                "on_part_data": self._count,
            },
        )

    def feed(self, data: bytes) -> None:
        """Follow the next bytes.

        Raises:
            TooLarge: a second file, or fields that are too large.
            ValueError: no form.
        """
        self._parser.write(data)

    def _begin(self) -> None:
        self._in_file = False

    def _begin_header(self) -> None:
        self._header = [b"", b""]

    def _extend(self, part: int, data: bytes) -> None:
        self._header[part] += data

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._in_file = b"filename" in self._options_of(value)[1]  # of two such headers the last counts
            self._files += self._in_file
            if self._files > 1:
                raise TooLarge("one file at a time")

    def _count(self, _data: bytes, start: int, end: int) -> None:
        if not self._in_file:
            self._left -= end - start
            if self._left < 0:
                raise TooLarge("fields that are too large")
