"""Files made wrong: bits, lengths, pieces of others, and what has broken readers of text before."""

import io
import struct
import zipfile
import zlib

import numpy as np

Random = np.random.Generator

PNG = b"\x89PNG\r\n\x1a\n"
ZIP = b"PK\x03\x04"
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
SNIPPETS = (
    *(b"[" * 100_000, b'{"a":' * 20_000, b"9" * 5000, b"1e999", b"-1", b"NaN", b"null", b"[]", b'""', b"{}", b"1.5"),
    *(b"\xff", b"\0", b"\x1b[2J", b"\n", b"\r", b"\t", b"'", b'"', b",", b": ", b"\\ud800", b"\\n", b"\xe2\x80\xa8"),
    *(b"*a", b"&a [*a, *a]", b"!!python/object/apply:os.getcwd []", b"2024-02-31", b"? [1]\n: 2\n", b"../x", b"%00"),
    *(b"http://[", b"\r\nContent-Length: 99999999999999999999\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"),
)


def mutate(files: list[bytes], random: Random) -> bytes:
    """One of the files, changed in one place or more; in half of the containers their checksums are made right."""
    data = files[random.integers(len(files))]
    if random.random() < 0.5:
        if data.startswith(PNG):
            return _with_checksums(_changed(data, files, random))
        if data.startswith(ZIP):
            return _with_a_member_changed(data, random)
    return _changed(data, files, random)


def _changed(original: bytes, files: list[bytes], random: Random) -> bytes:
    data = bytearray(original)
    for _ in range(random.geometric(0.6)):
        if not data:
            break
        # Headers are small, and where the harm is done.
        at = int(random.integers(len(data) if random.random() < 0.5 else min(len(data), 2048)))
        length = int(random.integers(1, min(200, 2 + len(data) // 8)))
        match random.integers(8):
            case 0:
                for position in random.integers(0, len(data), length):
                    data[position] = random.integers(256)
            case 1:
                data[at] ^= 1 << random.integers(8)
            case 2:
                order = (">I", "<I", "<Q")[random.integers(3)]
                number = struct.pack(order, NUMBERS[random.integers(len(NUMBERS))])
                data[at : at + len(number)] = number
            case 3:
                del data[at:]
            case 4:
                del data[at : at + length]
            case 5:
                data[at:at] = data[at : at + length]
            case 6:
                other = files[random.integers(len(files))]
                data[at:] = other[random.integers(len(other)) :]
            case 7:
                snippet = SNIPPETS[random.integers(len(SNIPPETS))]
                data[at : at + random.integers(2) * len(snippet)] = snippet
    return bytes(data)


def _with_checksums(png: bytes) -> bytes:
    """The chunks of a PNG, each with its CRC-32."""
    data, at = bytearray(png), len(PNG)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(data)


def _with_a_member_changed(archive: bytes, random: Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        members = {name: old.read(name) for name in old.namelist()}
    chosen = list(members)[random.integers(len(members))]
    members[chosen] = _changed(members[chosen] or b"\0", list(members.values()), random)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as new:
        for name, member in members.items():
            new.writestr(zipfile.ZipInfo(name), member)
    return made.getvalue()
