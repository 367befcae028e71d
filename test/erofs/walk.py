"""Prints what the kernel says of a tree, one JSON object a name: bytes as latin-1, contents as sha256."""

import hashlib
import json
import os
import stat
import sys

HASHED = 64 << 20  # larger files are sparse, and take too long to read


def text(value):
    return value.decode("latin-1")


def xattrs(path):
    found = {}
    for name in os.listxattr(path, follow_symlinks=False):
        try:
            found[text(os.fsencode(name))] = os.getxattr(path, name, follow_symlinks=False).hex()
        except OSError:
            pass  # user.* of symlinks and devices is listed, but cannot be read
    return found


def content(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def describe(path, relative):
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    return {
        "path": text(relative),
        "mode": status.st_mode,
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mtime": str(status.st_mtime_ns),
        "nlink": status.st_nlink,
        "ino": status.st_ino,
        "size": None if kind == stat.S_IFDIR else status.st_size,
        "device": [os.major(status.st_rdev), os.minor(status.st_rdev)],
        "target": text(os.readlink(path)) if kind == stat.S_IFLNK else None,
        "content": content(path) if kind == stat.S_IFREG and status.st_size <= HASHED else None,
        "xattrs": xattrs(path),
    }


def walk(path, relative):
    print(json.dumps(describe(path, relative)))
    if stat.S_ISDIR(os.lstat(path).st_mode):
        for name in sorted(os.listdir(path)):
            walk(path + b"/" + name, relative + b"/" + name)


sys.setrecursionlimit(10000)
walk(os.fsencode(sys.argv[1]), b"")
