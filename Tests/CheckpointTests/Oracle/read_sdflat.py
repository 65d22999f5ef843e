"""Read a flat file with nothing but the standard library and numpy, from docs/flat-format.md alone.

    python3 read_sdflat.py FILE

Checks the prelude, the header, every offset, every checksum and the padding, and prints one line of
JSON for each embedded file and tensor: component, name, dtype, shape and the SHA-256 of its bytes.
Exit status 1, and the reason on stderr, where the file is not sound.
"""
import hashlib, json, mmap, re, sys
import numpy as np

M = (1 << 64) - 1
P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")


class Unsound(Exception):
    pass


# XXH3-64, seed 0, default secret: the xxHash specification, version 0.8.

def u64(data, at):
    return int.from_bytes(data[at : at + 8], "little")


def u32(data, at):
    return int.from_bytes(data[at : at + 4], "little")


def fold(a, b):
    product = a * b
    return (product & M) ^ (product >> 64)


def avalanche(h):
    h ^= h >> 37
    h = h * 0x165667919E3779F9 & M
    return h ^ h >> 32


def old_avalanche(h):
    h = (h ^ h >> 33) * P64_2 & M
    h = (h ^ h >> 29) * P64_3 & M
    return h ^ h >> 32


def mix16(data, at, secret):
    return fold(u64(data, at) ^ u64(SECRET, secret), u64(data, at + 8) ^ u64(SECRET, secret + 8))


def short(data):
    n = len(data)
    if n == 0:
        return old_avalanche(u64(SECRET, 56) ^ u64(SECRET, 64))
    if n < 4:
        word = data[0] << 16 | data[n >> 1] << 24 | data[n - 1] | n << 8
        return old_avalanche(word ^ u32(SECRET, 0) ^ u32(SECRET, 4))
    if n <= 8:
        h = (u32(data, n - 4) + (u32(data, 0) << 32)) ^ u64(SECRET, 8) ^ u64(SECRET, 16)
        rotate = lambda r: (h << r | h >> 64 - r) & M
        h ^= rotate(49) ^ rotate(24)
        h = h * 0x9FB21C651E98DF25 & M
        h ^= (h >> 35) + n
        h = h * 0x9FB21C651E98DF25 & M
        return h ^ h >> 28
    low = u64(data, 0) ^ u64(SECRET, 24) ^ u64(SECRET, 32)
    high = u64(data, n - 8) ^ u64(SECRET, 40) ^ u64(SECRET, 48)
    swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
    return avalanche(n + swapped + high + fold(low, high) & M)


def medium(data):
    n = len(data)
    h = n * P64_1 & M
    if n <= 128:
        for i in reversed(range((n - 1) // 32 + 1)):
            h += mix16(data, 16 * i, 32 * i) + mix16(data, n - 16 * (i + 1), 32 * i + 16)
        return avalanche(h & M)
    for i in range(8):
        h += mix16(data, 16 * i, 16 * i)
    h = avalanche(h & M)
    for i in range(8, n // 16):
        h += mix16(data, 16 * i, 16 * (i - 8) + 3)
    return avalanche(h + mix16(data, n - 16, 136 - 17) & M)


def long(data):
    n = len(data)
    acc = np.array([P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1], np.uint64)
    low = np.uint64(0xFFFFFFFF)
    key = lambda at: np.frombuffer(SECRET, np.uint64, 8, at)
    keys = np.stack([key(8 * i) for i in range(16)])

    def stripes(words, keys):
        mixed = words ^ keys
        products = (mixed & low) * (mixed >> np.uint64(32))
        # Each lane also takes its neighbour's data.
        return (products + words[:, [1, 0, 3, 2, 5, 4, 7, 6]]).sum(0, dtype=np.uint64)

    blocks = (n - 1) // 1024
    for at in range(0, blocks, 4096):
        count = min(4096, blocks - at)
        words = np.frombuffer(data, "<u8", count * 128, at * 1024).reshape(count, 16, 8)
        for block in words:
            acc = acc + stripes(block, keys)
            acc = (acc ^ acc >> np.uint64(47) ^ key(128)) * np.uint64(P32_1)
    rest = (n - 1 - blocks * 1024) // 64
    if rest:
        words = np.frombuffer(data, "<u8", rest * 8, blocks * 1024).reshape(rest, 8)
        acc = acc + stripes(words, keys[:rest])
    acc = acc + stripes(np.frombuffer(data, "<u8", 8, n - 64).reshape(1, 8), key(121).reshape(1, 8))
    lanes = [int(lane) for lane in acc]
    h = n * P64_1
    for i in range(0, 8, 2):
        h += fold(lanes[i] ^ u64(SECRET, 11 + 8 * i), lanes[i + 1] ^ u64(SECRET, 19 + 8 * i))
    return avalanche(h & M)


def xxh3(data):
    return short(data) if len(data) <= 16 else medium(data) if len(data) <= 240 else long(data)


# The format.

WIDTHS = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
          "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "C32": 4,
          "I64": 8, "U64": 8, "F64": 8, "C64": 8, "C128": 16}


def require(condition, reason):
    if not condition:
        raise Unsound(reason)


def unique(pairs):
    require(len({key for key, _ in pairs}) == len(pairs), "a key stands twice")
    return dict(pairs)


def number(value, what):
    require(type(value) is int and 0 <= value < 1 << 63, f"{what} is no number")
    return value


def header(file):
    require(len(file) >= 64 and file[:8] == b"SDFLAT\0\1", "this is no flat file")
    prelude = file[:64]
    require(xxh3(prelude[:56]) == u64(prelude, 56), "the prelude is damaged")
    require(u32(prelude, 8) == 1, f"version {u32(prelude, 8)}")
    require(u32(prelude, 12) == 0 and prelude[40:56] == bytes(16), "a reserved byte is not zero")
    require(u64(prelude, 32) == len(file), "the file has another length")
    length = u64(prelude, 16)
    require(length <= 1 << 24 and 64 + length <= len(file), "the header does not fit")
    text = file[64 : 64 + length]
    require(xxh3(text) == u64(prelude, 24), "the header is damaged")
    try:
        value = json.loads(text, object_pairs_hook=unique)
    except ValueError as error:
        raise Unsound(f"the header is no JSON: {error}")
    require(type(value) is dict, "the header is no object")
    known = {"files", "components", "provenance"}
    for name in value.get("requires", []):
        require(name in known, f"the file requires {name}")
    return value, 64 + length


def regions(value):
    """Every region in the order of the file: component, name, dtype, shape, entry."""
    for entry in value["files"]:
        path = entry["path"]
        parts = path.split("/")
        require(len(parts) <= 8 and len(path.encode()) <= 512, f"{path}: too long")
        require(all(part and part[0] != "." for part in parts), f"{path}: leads elsewhere")
        require(not re.search(r"[\\\x00-\x1f\x7f]", path), f"{path}: has odd characters")
        yield None, path, None, None, entry
    for component in value["components"]:
        require(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}", component["name"]), "odd component")
        for entry in component["tensors"]:
            size = WIDTHS[entry["dtype"]]
            require(len(entry["shape"]) <= 64, "too many dimensions")
            for dimension in entry["shape"]:
                size *= number(dimension, "a dimension")
            require(size == entry["bytes"], f"{entry['name']}: the shape has another size")
            yield component["name"], entry["name"], entry["dtype"], entry["shape"], entry


def read(path):
    with open(path, "rb") as stream:
        file = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    value, end = header(file)
    data = (end + 4095) // 4096 * 4096
    seen = set()
    place = 0
    for component, name, dtype, shape, entry in regions(value):
        require((component, name) not in seen, f"{name} stands twice")
        seen.add((component, name))
        count = number(entry["bytes"], "bytes")
        alignment = 4096 if count >= 65536 else 64
        place = (place + alignment - 1) // alignment * alignment
        require(entry["offset"] == place, f"{name}: the offset is not the one that sizes give")
        start = data + place
        require(start + count <= len(file), f"{name}: it reaches past the end")
        require(not any(file[end:start]), f"padding before {name} is not zero")
        contents = file[start : start + count]
        require(f"{xxh3(contents):016x}" == entry["xxh3"], f"{name}: it is damaged")
        yield {"component": component, "name": name, "dtype": dtype, "shape": shape,
               "sha256": hashlib.sha256(contents).hexdigest()}
        place += count
        end = start + count
    require(max(end, data) == len(file), "bytes follow the last region")


try:
    for row in read(sys.argv[1]):
        print(json.dumps(row))
except Unsound as reason:
    sys.exit(f"{sys.argv[1]}: {reason}")
except (KeyError, TypeError) as error:
    sys.exit(f"{sys.argv[1]}: the header lacks something: {error!r}")
