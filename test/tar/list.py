"""Lists a tar as Python's tarfile reads it, one JSON object a member: the second opinion of the reader's tests."""

import hashlib
import json
import math
import sys
import tarfile
from decimal import Decimal

TYPES = {b"0": "file", b"\0": "file", b"7": "file", b"S": "file", b"1": "hardlink", b"2": "symlink",
         b"3": "char", b"4": "block", b"5": "directory", b"6": "fifo"}
XATTR = "SCHILY.xattr."


def raw(text):
    return text.encode("utf-8", "surrogateescape").hex()


def stored(archive, member):
    """The runs of a sparse file, and the digest of what the tar stores."""
    digest = hashlib.sha256()
    if not member.isreg():
        return None, digest.hexdigest()
    content = archive.extractfile(member)
    runs = None if member.sparse is None else [[start, length] for start, length in member.sparse if length]
    for start, length in [[0, member.size]] if runs is None else runs:
        content.seek(start)
        digest.update(content.read(length))
    return runs, digest.hexdigest()


with tarfile.open(sys.argv[1], "r:", encoding="utf-8", errors="surrogateescape") as archive:
    for member in archive:
        kind = "directory" if member.isdir() else TYPES[member.type]
        time = Decimal(member.pax_headers.get("mtime") or member.mtime)
        runs, sha256 = stored(archive, member)
        is_device = kind in ("char", "block")
        print(json.dumps({
            "path": raw(member.name),
            "target": raw(member.linkname) if kind in ("symlink", "hardlink") else "",
            "type": kind,
            "mode": member.mode & 0o7777,
            "uid": member.uid,
            "gid": member.gid,
            "size": member.size if kind == "file" else 0,
            "mtime": [math.floor(time), int((time - math.floor(time)) * 10**9)],
            "device": [member.devmajor, member.devminor] if is_device else [0, 0],
            "xattrs": sorted([key[len(XATTR):], raw(value)] for key, value in member.pax_headers.items() if key.startswith(XATTR)),
            "sparse": runs,
            "sha256": sha256,
        }))
