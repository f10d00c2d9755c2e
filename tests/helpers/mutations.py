"""Damage that is drawn from a seed: to bytes, to values that JSON and YAML can hold, and to messages of protobuf."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import yaml

MARK = "MARK"
"""Begins the texts that ``as_json`` and ``as_yaml`` replace by what their libraries would not write."""
IN_JSON = {"deep": "[" * 100_000, "nested": "[" * 900 + "]" * 900, "long": "9" * 5000, "infinite": "1e999"}
LAUGHS = "[&a0 [x, x], " + ", ".join(f"&a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)) + "]"
IN_YAML = {
    **IN_JSON,
    "self": "&self [*self]",
    "map": "&map {a: *map}",
    "key": "{? [a, b] : 1}",
    "laughs": LAUGHS,
    "tag": "!!python/object/apply:os.getpid []",
    "set": "!!set {a, b}",
    "binary": "!!binary '%%'",
    "date": "2001-99-99",
    "merge": "{<<: 3}",
    "anchor": "*nowhere",
    "number": "!!int x",
}
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 0.5, -0.0, 2**31, 2**53, 2**63, 10**12, -(10**12), 10**30, 10**400),
    *(1e12, 1e-320, 1e308, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        " ",
        "x" * 5000,
        "a\nb",
        "\0",
        "\ud800",
        "²",
        "1e3",
        "nan",
        "true",
        "../..",
        "/dev/zero",
        "[/x]",
        "os:system",
    ),
    *([], {}, [[]], {"": None}, {"a": {"b": []}}, [0] * 1000),
)
ENCODINGS = ("utf-16", "utf-8-sig", "latin-1", "utf-32", "cp037")


def of_bytes(chance: Random, content: bytes) -> bytes:
    """Flip, cut, repeat, insert or overwrite some bytes."""
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(found) + 1)
        size = min(chance.choice((1, 1, 2, 4, 8, 64)), len(found) - at)
        match chance.randrange(6):
            case 0:
                del found[at:]
            case 1:
                del found[at : at + size]
            case 2:
                found[at:at] = found[at : at + size] * chance.choice((1, 3, 100))
            case 3:
                found[at : at + size] = chance.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * size
            case 4:
                found[at : at + size] = chance.randbytes(size)
            case 5:
                for place in range(at, at + size):
                    found[place] ^= 1 << chance.randrange(8)
    return bytes(found)


def of_tree(chance: Random, tree: Any, values: Sequence[Any] = VALUES) -> Any:
    """Change some of the values of nested dicts and lists; all else is shared with ``tree``."""
    tree = _copied(tree)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        places = list(_places(tree))
        if not places or not chance.randrange(40):
            return _copied(chance.choice(values))
        holder, key = chance.choice(places)
        _change(chance, holder, key, values)
    return tree


def _change(chance: Random, holder: Any, key: Any, values: Sequence[Any]) -> None:
    # The copies keep what is put in from being changed later, in the next file too.
    before, new = holder[key], _copied(chance.choice(values))
    match chance.randrange(9):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [before]
        case 2 if isinstance(holder, dict):
            holder[chance.choice(("", "x", "name", "\0", *map(str, holder)))] = new
        case 2:
            holder.insert(key, _copied(before))
        case 3 if isinstance(before, int | float):
            factor = chance.choice((-1, 0, 1.5, 1000, 10**12))
            holder[key] = before * factor if abs(before) < 1e100 else -before  # no float holds the largest of them
        case 3 if isinstance(before, str):
            holder[key] = of_bytes(chance, before.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogateescape")
        case 4:
            holder[key] = _copied(chance.choice(list(holder.values() if isinstance(holder, dict) else holder)))
        case _:
            holder[key] = new


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every dict and list in a tree with each of its keys."""
    if isinstance(tree, dict | list):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from _places(tree[key])


def _copied(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _copied(value) for key, value in tree.items()}
    return [_copied(value) for value in tree] if isinstance(tree, list | tuple) else tree


def as_json(tree: Any) -> str:
    """Write a tree as JSON, the marks in it replaced."""
    text = json.dumps(tree)
    for name, written in IN_JSON.items():
        text = text.replace(f'"{MARK}{name}"', written)
    return text


def as_yaml(tree: Any) -> str:
    """Write a tree as YAML, the marks in it replaced."""
    try:
        text = yaml.dump(tree, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)
    except UnicodeEncodeError:  # half a character, which JSON can write
        text = json.dumps(tree)
    for name, written in IN_YAML.items():
        text = text.replace(f"{MARK}{name}", written)
    return text


def encoded(chance: Random, text: str) -> bytes:
    """Encode a text, mostly as UTF-8."""
    encoding = "utf-8" if chance.randrange(20) else chance.choice(ENCODINGS)
    return text.encode(encoding, "replace" if encoding != "utf-8" else "surrogatepass")


def of_text(write: Callable[[Any], str], marks: Sequence[str]) -> Callable[[Random, Any], bytes]:
    """Return what damages a tree, or in a third of all cases the bytes of it."""
    values = (*VALUES, *(MARK + mark for mark in marks), *(MARK + mark for mark in marks))

    def mutate(chance: Random, tree: Any) -> bytes:
        if not chance.randrange(3):
            return of_bytes(chance, write(tree).encode())
        return encoded(chance, write(of_tree(chance, tree, values)))

    return mutate


of_json, of_yaml = of_text(as_json, list(IN_JSON)), of_text(as_yaml, list(IN_YAML))


def of_message(chance: Random, message: Any) -> bytes:
    """Damage the fields of a message of protobuf, of those inside it, or in a third of all cases its bytes."""
    if not chance.randrange(3):
        return of_bytes(chance, message.SerializeToString())
    changed = type(message)()
    changed.CopyFrom(message)
    for _ in range(chance.choice((1, 1, 2, 4))):
        inner = chance.choice(list(_messages(changed)))
        field = chance.choice(inner.DESCRIPTOR.fields)
        try:
            _set(chance, inner, field)
        except (ValueError, TypeError):  # one that the field's type does not hold
            inner.ClearField(field.name)
    return changed.SerializeToString()


def _messages(message: Any) -> Iterator[Any]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if hasattr(value, "add") else [value]:
                yield from _messages(inner)


def _set(chance: Random, message: Any, field: Any) -> None:
    value = getattr(message, field.name)
    if hasattr(value, "extend"):  # a repeated field
        if value and chance.randrange(3):
            del value[chance.randrange(len(value))]
        elif value and chance.randrange(3):
            value.extend([chance.choice(list(value))])
        elif field.message_type is None:
            value.append(_scalar(chance, field))
    elif field.message_type is not None:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _scalar(chance, field))


def _scalar(chance: Random, field: Any) -> Any:
    numbers = (0, 1, -1, 2, 3, 99, 1000, 2**31 - 1, -(2**31), 10**12, -(10**12), 2**63 - 1)
    texts = tuple(str(value) for value in VALUES if "\ud800" not in str(value))
    if field.cpp_type == field.CPPTYPE_STRING:
        text = chance.choice(texts)
        return text.encode() if field.type == field.TYPE_BYTES else text
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return chance.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
    return chance.choice(numbers)


def of_safetensors(chance: Random, content: bytes) -> bytes:
    """Damage the header of a safetensors file, a text in JSON in it, or its bytes."""
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    about = dict(sorted(header.get("__metadata__", {}).items()))  # safetensors writes them in any order
    inner = [key for key in about if about[key].startswith("{")]
    way = chance.randrange(6)
    if way == 0:
        return of_bytes(chance, content[: 8 + size]) + content[8 + size :]
    if way < 4 and inner:
        key = chance.choice(inner)
        header["__metadata__"] = about | {key: of_json(chance, json.loads(about[key])).decode("utf-8", "replace")}
        text = json.dumps(header).encode()
    elif way < 5 and about:
        header["__metadata__"] = of_tree(chance, about)
        text = json.dumps(header).encode()
    else:
        text = of_json(chance, header)
    return struct.pack("<Q", len(text)) + text + content[8 + size :]
