#!/usr/bin/python3
"""layer.py [--lower DIR:DIR…] UPPER OUT.tar: the upper directory of an overlay mount as an OCI layer tar.

Reproducible: sorted, times clamped to SOURCE_DATE_EPOCH, no user names, PAX format. Overlay's whiteouts (character
device 0:0) become `.wh.NAME`; an opaque directory gets `.wh..wh..opq` where a lower directory has something to hide.
"""
import argparse
import os
import stat
import tarfile

TYPES = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFREG: tarfile.REGTYPE,
}


def xattrs(path):
    names = os.listxattr(path, follow_symlinks=False)
    kept = (name for name in sorted(names) if not name.startswith(('trusted.overlay.', 'security.selinux')))
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in kept}


def is_opaque(directory):
    try:
        return os.getxattr(directory, 'trusted.overlay.opaque') in (b'y', b'x')
    except OSError:
        return False


class Layer:
    def __init__(self, tar, lower, epoch):
        self.tar = tar
        self.lower = [os.fsencode(directory) for directory in lower]
        self.epoch = epoch
        self.links = {}

    def add_directory(self, directory, prefix):
        if prefix and is_opaque(directory) and any(os.path.isdir(os.path.join(low, prefix)) for low in self.lower):
            self.add_whiteout(prefix + b'.wh..wh..opq')
        for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
            self.add(entry.path, prefix + entry.name, os.lstat(entry.path))

    def add_whiteout(self, name):
        info = tarfile.TarInfo(os.fsdecode(name))
        info.mode, info.mtime = 0, self.epoch
        self.tar.addfile(info)

    def add(self, path, name, status):
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFCHR and status.st_rdev == 0:
            head, base = os.path.split(name)
            return self.add_whiteout(os.path.join(head, b'.wh.' + base))
        if kind == stat.S_IFSOCK:
            return None
        info = tarfile.TarInfo(os.fsdecode(name))
        info.type, info.mode = TYPES[kind], stat.S_IMODE(status.st_mode)
        info.uid, info.gid = status.st_uid, status.st_gid
        info.mtime = min(int(status.st_mtime), self.epoch)
        first = self.links.setdefault((status.st_dev, status.st_ino), info.name) if status.st_nlink > 1 else info.name
        if kind != stat.S_IFDIR and first != info.name:
            info.type, info.linkname = tarfile.LNKTYPE, first
            return self.tar.addfile(info)
        info.pax_headers = {'SCHILY.xattr.' + key: os.fsdecode(value) for key, value in xattrs(path).items()}
        if kind == stat.S_IFREG:
            info.size = status.st_size
            with open(path, 'rb') as content:
                return self.tar.addfile(info, content)
        if kind == stat.S_IFLNK:
            info.linkname = os.fsdecode(os.readlink(path))
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
        self.tar.addfile(info)
        if kind == stat.S_IFDIR:
            self.add_directory(path, name + b'/')
        return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--lower', default='')
    parser.add_argument('upper')
    parser.add_argument('out')
    options = parser.parse_args()
    form = dict(format=tarfile.PAX_FORMAT, encoding='utf-8', errors='surrogateescape')
    with tarfile.open(options.out, 'w', **form) as tar:
        lower = options.lower.split(':') if options.lower else []
        Layer(tar, lower, int(os.environ['SOURCE_DATE_EPOCH'])).add_directory(os.fsencode(options.upper), b'')


if __name__ == '__main__':
    main()
