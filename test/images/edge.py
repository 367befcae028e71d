#!/usr/bin/python3
"""edge.py edge|odd LAYERS: the layers of the two images that hold what a tar layer can say, in several dialects.

edge     edge-pax (PAX 2001, xattrs, ACLs, devices, odd names and times), edge-gnu (long names, base-256 numbers), edge-v7,
         edge-ustar, edge-paxsparse (PAX sparse 1.0), edge-wh (whiteouts, replaced kinds, odd paths).
         containerd and GNU tar accept every one of them.
odd      what GNU tar reads and containerd refuses: odd-gnu (sparse files of type S), odd-pax00, odd-pax01, odd-pax10
         (the three sparse dialects of PAX), odd-links (links to files of lower layers, types 7 and V).

Members are made in memory, so nothing of the machine's file systems leaks in; sparse files alone come from GNU tar.
"""
import io
import os
import random
import re
import struct
import subprocess
import sys
import tarfile
import tempfile

EPOCH = 1700000000
EVERYBODY = 0xFFFFFFFF


def acl(*entries):
    """system.posix_acl_*: version 2, then tag, permissions and id of each entry (linux/posix_acl_xattr.h)."""
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)


def acl_of(user):
    """user::rw-, user:USER:r--, group::r--, mask::r--, other::---"""
    return acl((1, 6, EVERYBODY), (2, 4, user), (4, 4, EVERYBODY), (16, 4, EVERYBODY), (32, 0, EVERYBODY))


def capability(permitted):
    """security.capability: version 2, effective, permitted bits (linux/capability.h, struct vfs_cap_data)."""
    return struct.pack('<IIIII', 0x02000001, permitted, 0, 0, 0)


class Layer:
    """One tar under construction; names are bytes or text, a file without its own time has EPOCH."""

    def __init__(self, folder, name, form=tarfile.PAX_FORMAT, **extra):
        path = os.path.join(folder, name + '.tar')
        self.tar = tarfile.open(path, 'w', format=form, encoding='utf-8', errors='surrogateescape', **extra)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tar.close()

    def add(self, name, kind, data=b'', xattrs=None, pax=None, link='', **attributes):
        info = tarfile.TarInfo(os.fsdecode(name))
        info.type, info.size, info.mtime, info.linkname = kind, len(data), EPOCH, os.fsdecode(link)
        info.pax_headers = dict(pax or {})
        for key, value in (xattrs or {}).items():
            info.pax_headers['SCHILY.xattr.' + key] = os.fsdecode(value)
        for key, value in attributes.items():
            setattr(info, key, value)
        self.tar.addfile(info, io.BytesIO(data))

    def file(self, name, data=b'', **more):
        self.add(name, tarfile.REGTYPE, data, **more)

    def directory(self, name, **more):
        self.add(name, tarfile.DIRTYPE, **{'mode': 0o755, **more})

    def symlink(self, name, target, **more):
        self.add(name, tarfile.SYMTYPE, link=target, **{'mode': 0o777, **more})

    def hard_link(self, name, target, **more):
        """Some unpackers give the file the attributes of its last name, so `more` repeats what the first name has."""
        self.add(name, tarfile.LNKTYPE, link=target, **more)

    def device(self, name, kind, major, minor, mode):
        self.add(name, kind, devmajor=major, devminor=minor, mode=mode)


def add_files(layer, random_bytes):
    layer.file('edge/empty')
    layer.file('edge/one', b'1')
    for size in (4095, 4096, 4097):
        layer.file(f'edge/b{size}', random_bytes(size))
    layer.file('edge/zeros8m', bytes(8 << 20))
    halves = (random_bytes(1 << 19) + b'compressible %08d ' % turn * 23831 for turn in range(64))
    layer.file('edge/big64m', b''.join(halves))
    layer.directory('edge/manyfiles')
    for number in range(10_000):
        layer.file(f'edge/manyfiles/f{number:05}', b'file %d\n' % number * (number % 30))


def add_names(layer):
    for name in (b'nonutf8-\xff\xfe\x80', b'new\nline', b'back\\slash', b'sp ace \xc3\xa9', b'tab\tquote"\'', b'-dash', b'..dots', b'\x01'):
        layer.file(b'edge/' + name, name)
    layer.file(b'edge/' + b'n' * 255, b'255-byte name')
    layer.file(b'edge/' + b'\xff' * 255, b'255 bytes and no UTF-8')
    deep = b'edge'
    for _ in range(12):
        deep += b'/' + b'd' * 200
        layer.directory(deep)
    layer.file(deep + b'/deep', b'a path of 2,400 bytes')


def add_links(layer):
    targets = {'sym': b'one', 'symlong': b'x' * 1000, 'symmax': b'y' * 4095, 'symabs': b'/edge/../etc/passwd',
               'dangling': b'nowhere', 'symraw': b'raw-\xff', 'symself': b'symself', 'symdir': b'hd'}
    for name, target in targets.items():
        layer.symlink('edge/' + name, target)
    layer.symlink('edge/symowned', b'one', uid=1000, gid=1001, mtime=1500000000)
    layer.directory('edge/hd')
    layer.file('edge/hard1', b'hardlinked' * 100, xattrs={'user.shared': b'by all names'})
    layer.hard_link('edge/hard2', 'edge/hard1')
    layer.hard_link('edge/hd/hard3', 'edge/hard1')
    layer.file('edge/hard_empty1')
    layer.hard_link('edge/hard_empty2', 'edge/hard_empty1')
    layer.hard_link('edge/sym_hard', 'edge/sym')


def add_special(layer):
    layer.add('edge/fifo', tarfile.FIFOTYPE, mode=0o640)
    layer.hard_link('edge/fifo_hard', 'edge/fifo', mode=0o640)
    layer.device('edge/null', tarfile.CHRTYPE, 1, 3, 0o666)
    layer.device('edge/blk', tarfile.BLKTYPE, 7, 1, 0o600)
    layer.device('edge/bigdev', tarfile.CHRTYPE, 240, 70000, 0o600)
    layer.device('edge/maxdev', tarfile.BLKTYPE, 4095, 1048575, 0o600)


def add_attributes(layer):
    for name, mode in {'suid': 0o4755, 'sgid': 0o2755, 'none': 0o000, 'all': 0o7777}.items():
        layer.file('edge/' + name, b'#!/bin/sh\n', mode=mode)
    layer.directory('edge/sticky', mode=0o1777)
    layer.directory('edge/setgid', mode=0o2775, gid=50)
    layer.file('edge/biguid', b'x', uid=4000000000, gid=3000000000)
    layer.file('edge/uid65536', b'x', uid=65536, gid=65535)
    layer.directory('edge/owned', uid=70000, gid=70001)
    times = {'oldtime': '-86400', 'oldfraction': '-1.500000000', 'epoch': '0', 'nstime': '1600000000.123456789',
             'shortfraction': '1600000000.5', 'y2039': '2200000000.25', 'y2128': '5000000000.000000001'}
    for name, time in times.items():
        layer.file('edge/' + name, b'x', pax={'mtime': time})
    layer.symlink('edge/symtime', 'one', pax={'mtime': '1600000000.000000007'})
    layer.directory('edge/dirtime', pax={'mtime': '1600000000.987654321'})


def add_xattrs(layer):
    layer.file('edge/caps', b'\x7fELF', mode=0o755, xattrs={'security.capability': capability(0x2000)})
    layer.file('edge/xattrs', b'x', xattrs={
        'user.bin': bytes(range(256)), 'user.nl': b'a\nb=c\n', 'user.empty': b'', 'trusted.t': b't', 'user.long': b'v' * 1500})
    layer.file('edge/xattrs100', xattrs={f'user.x{number}': b'%d' % number for number in range(100)})
    layer.file('edge/xattrs_same', xattrs={'user.empty': b'', 'trusted.t': b't', 'user.bin': bytes(range(256))})
    layer.directory('edge/xattrs_dir', xattrs={'user.dir': b'yes', 'trusted.opaque': b'y'})
    layer.symlink('edge/xattrs_sym', 'one', xattrs={'trusted.sym': b'link'})
    layer.file('edge/acl', b'x', mode=0o640, xattrs={'system.posix_acl_access': acl_of(1000)})
    layer.directory('edge/acl_dir', mode=0o750, xattrs={'system.posix_acl_default': acl_of(70000)})


def pax_layer(folder):
    with Layer(folder, 'edge-pax', pax_headers={'comment': 'a global header'}) as layer:
        random_bytes = random.Random(1).randbytes
        layer.directory('edge')
        for add in (add_names, add_links, add_special, add_attributes, add_xattrs):
            add(layer)
        add_files(layer, random_bytes)
        for name in ('opqdir', 'deldir', 'dirtofile', 'dirtolink', 'opqnested/in'):
            layer.directory('edge/' + name)
            layer.file(f'edge/{name}/a', b'a')
            layer.file(f'edge/{name}/b', b'b')
        for name in ('filetodir', 'filetolink', 'delme', 'modme', 'chmodme'):
            layer.file('edge/' + name, b'lower ' + name.encode())
        layer.symlink('edge/linktodir', 'hd')
        layer.symlink('edge/linktofile', 'one')


def gnu_layer(folder):
    with Layer(folder, 'edge-gnu', tarfile.GNU_FORMAT) as layer:
        layer.directory('./gnu')
        layer.file('./gnu/' + 'L' * 150, b'a name in an L member')
        layer.symlink('./gnu/longlink', 'T' * 150)
        layer.symlink('./gnu/' + 'S' * 120, 'B' * 200)
        layer.hard_link('./gnu/hardlong', './gnu/' + 'L' * 150)
        layer.directory('./gnu/dir')
        layer.file(b'./gnu/dir/nonutf8-\xe9', b'x')
        layer.file(b'./gnu/' + b'\xe9' * 110, b'a raw name in an L member')
        layer.file('./gnu/biguid', b'base-256', uid=4000000000, gid=3000000000)
        layer.file('./gnu/oldtime', b'base-256, negative', mtime=-86400)
        layer.file('./gnu/future', b'base-256', mtime=1 << 33)
        layer.device('./gnu/null', tarfile.CHRTYPE, 1, 3, 0o666)


def block(name, data=b'', kind=b'\0', link=b'', mode=0o644, magic=b'', prefix=b''):
    """One member by hand: a header of 512 bytes, fields as in POSIX.1-1988 (ustar) or, without magic, as in Unix V7."""
    def number(value, width):
        return b'%0*o\0' % (width - 1, value)
    head = name.ljust(100, b'\0') + number(mode, 8) + number(0, 8) + number(0, 8) + number(len(data), 12) + number(EPOCH, 12)
    tail = kind + link.ljust(100, b'\0') + (magic + bytes(80) + prefix if magic else b'')
    tail = tail.ljust(512 - 156, b'\0')
    checksum = b'%06o\0 ' % (sum(head) + sum(tail) + 8 * ord(' '))
    return head + checksum + tail + data + bytes(-len(data) % 512)


def write_blocks(folder, name, members):
    with open(os.path.join(folder, name + '.tar'), 'wb') as tar:
        tar.write(b''.join(members) + bytes(1024))


def v7_layer(folder):
    write_blocks(folder, 'edge-v7', (
        block(b'v7/', mode=0o755),
        block(b'v7/file', b'no magic, type NUL'),
        block(b'v7/hard', kind=b'1', link=b'v7/file'),
        block(b'v7/sym', kind=b'2', link=b'file', mode=0o777),
        block(b'v7/' + b'f' * 97, b'a name that fills its field, with no NUL'),
    ))


USTAR = b'ustar\x0000'


def ustar_layer(folder):
    prefix = b'ustar/' + b'p' * 70 + b'/' + b'q' * 78
    write_blocks(folder, 'edge-ustar', (
        block(b'ustar/', kind=b'5', mode=0o755, magic=USTAR),
        block(b'ustar/old', b'type NUL under ustar', kind=b'\0', magic=USTAR),
        block(b'ustar/nodata', kind=b'0', magic=USTAR),
        block(b'n' * 100, b'prefix and name fill their fields, with no NUL', kind=b'0', prefix=prefix, magic=USTAR),
        block(b'no/parents/of/its/own', b'x', kind=b'0', prefix=b'ustar', magic=USTAR),
    ))


def links_layer(folder):
    with Layer(folder, 'odd-links') as layer:
        layer.add('a volume label of GNU tar', b'V')
        layer.add('contiguous', tarfile.CONTTYPE, b'POSIX wants type 7 read as a plain file')
        layer.hard_link('hard_across', 'pax10/hole')
        layer.hard_link('pax00/hard_again', 'hard_across')
        layer.file('pax01/hole', b'one of the names below is replaced')
        layer.hard_link('hard_absolute', '/gnu/hole')


def whiteout_layer(folder):
    with Layer(folder, 'edge-wh') as layer:
        layer.directory('./')
        for name in ('.wh.delme', '.wh.deldir', '.wh.never_existed', 'manyfiles/.wh.f00000', 'manyfiles/.wh.f09999'):
            layer.file('edge/' + name)
        layer.directory('edge/opqdir')
        layer.file('edge/opqdir/.wh..wh..opq')
        layer.file('edge/opqdir/new', b'new')
        layer.file('edge/opqnested/.wh..wh..opq')
        layer.directory('edge/opqnested/in')
        layer.directory('edge/filetodir')
        layer.file('edge/filetodir/x', b'x')
        layer.file('edge/dirtofile', b'was a directory')
        layer.symlink('edge/dirtolink', 'hd')
        layer.symlink('edge/filetolink', 'one')
        layer.directory('edge/linktodir', mode=0o700)
        layer.file('edge/linktofile', b'was a link')
        layer.file('edge/modme', b'new contents')
        layer.file('edge/chmodme', b'lower chmodme', mode=0o400)
        layer.directory('edge/sticky', mode=0o1700, uid=5)
        layer.file('edge/noparent/a/b/c', b'no parent directories in the tar')
        layer.file('./edge/dotslash', b'./ prefix')
        layer.file('/edge/absolute', b'/ prefix')
        layer.file('edge/hd/../dotdot', b'a path with two dots')
        layer.file('edge//double//slash', b'empty components')
        layer.file('bin/through-link', b'/bin is a link of the base layer: this is usr/bin/through-link')
        layer.file('edge/twice', b'first')
        layer.file('edge/twice', b'second wins')
        layer.file('edge/dup0', b'target')
        layer.hard_link('edge/hard_to_new', 'edge/dup0')
        layer.hard_link('edge/hard_absolute', '/edge/dup0')
        layer.add('edge/areg', tarfile.AREGTYPE, b'old v7 type')
        layer.file('edge/xattr_and_time', b'x', pax={'SCHILY.xattr.user.s': 'bar', 'mtime': '1700000000.987654321'})


def sparse_tar(folder, name, tree, options, *members):
    subprocess.check_call([
        'tar', '-C', tree, '--sparse', '--sort=name', f'--mtime=@{EPOCH}', '--numeric-owner', '--owner=0', '--group=0',
        *options, '-cf', os.path.join(folder, name + '.tar'), *members])


PAX = ('--format=posix', '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime')


def forget_process_id(path):
    """GNU tar names a sparse member after its own process id: writes 0 there, and the header's checksum anew."""
    with open(path, 'r+b') as file:
        content = file.read()
        for match in re.finditer(rb'GNUSparseFile\.\d+/', content):
            start = match.start() // 512 * 512
            header = bytearray(content[start:start + 512])
            header[:100] = re.sub(rb'(GNUSparseFile\.)\d+/', rb'\g<1>0/', bytes(header[:100]).rstrip(b'\0')).ljust(100, b'\0')
            header[148:156] = b' ' * 8
            header[148:156] = b'%06o\0 ' % sum(header)
            file.seek(start)
            file.write(header)


def sparse_file(path, size, step):
    """Data at every `step` bytes from 0, holes between, a hole at the end."""
    with open(path, 'wb') as file:
        for offset in range(0, size, step):
            file.seek(offset)
            file.write(b'data@%d' % offset)
        file.truncate(size)


def make_edge(folder):
    pax_layer(folder)
    gnu_layer(folder)
    v7_layer(folder)
    ustar_layer(folder)
    with tempfile.TemporaryDirectory() as tree:
        os.mkdir(f'{tree}/paxs', 0o755)
        sparse_file(f'{tree}/paxs/sparse', 400 << 20, 40 << 20)
        sparse_tar(folder, 'edge-paxsparse', tree, PAX, 'paxs')
    forget_process_id(os.path.join(folder, 'edge-paxsparse.tar'))
    whiteout_layer(folder)


def make_odd(folder):
    links_layer(folder)
    dialects = {'gnu': ('--format=gnu',), 'pax00': (*PAX, '--sparse-version=0.0'),
                'pax01': (*PAX, '--sparse-version=0.1'), 'pax10': PAX}
    for dialect, options in dialects.items():
        with tempfile.TemporaryDirectory() as tree:
            os.chmod(tree, 0o755)
            os.mkdir(f'{tree}/{dialect}', 0o755)
            at = f'{tree}/{dialect}/'
            sparse_file(at + 'above4g', (5 << 30) + 12345, 1 << 30)
            sparse_file(at + 'many', 64 << 20, 1 << 18)
            sparse_file(at + 'hole', 1 << 20, 2 << 20)
            # In PAX, GNU tar would put its process id into a record of the path if this were longer.
            sparse_file(at + 's' * (120 if dialect == 'gnu' else 60), 8 << 20, 1 << 20)
            os.truncate(os.open(at + 'onlyhole', os.O_CREAT | os.O_WRONLY, 0o644), 3 << 20)
            sparse_tar(folder, f'odd-{dialect}', tree, options, '.')
        forget_process_id(os.path.join(folder, f'odd-{dialect}.tar'))


if __name__ == '__main__':
    os.umask(0o022)
    {'edge': make_edge, 'odd': make_odd}[sys.argv[1]](sys.argv[2])
