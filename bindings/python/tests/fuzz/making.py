"""Bytes of files that claim what they are not."""

import io
import json
import struct
import warnings
import zipfile

import numpy as np


def npy(header, body=b"", version=1):
    """With any header, given as text or as its parts."""
    if isinstance(header, dict):
        header = repr({"fortran_order": False, **header})
    content = header.encode("latin-1", "replace") + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(content) % (2**16 if version == 1 else 2**32))
    return b"\x93NUMPY" + bytes([version, 0]) + length + content + body


def array(values):
    file = io.BytesIO()
    np.save(file, np.asarray(values))
    return file.getvalue()


def archive(members, method=zipfile.ZIP_STORED):
    """A zip of members, name and content each, which may have a name twice."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as made:
        warnings.simplefilter("ignore")
        for name, content in members:
            made.writestr(name, content)
    return file.getvalue()


def patched(data, **values):
    """A zip whose first member says something else of itself: its flags, its method, or its size."""
    data = bytearray(data)
    # Where it is in the header of the member, and in the folder at the end.
    places = {"flags": (6, 8, "<H"), "method": (8, 10, "<H"), "size": (22, 24, "<I")}
    for name, value in values.items():
        local, central, form = places[name]
        for start, mark in ((local, b"PK\x03\x04"), (central, b"PK\x01\x02")):
            struct.pack_into(form, data, data.find(mark) + start, value)
    return bytes(data)


def safetensors(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body
