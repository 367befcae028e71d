#!/usr/bin/python3
"""image.py LAYOUT LAYERS TAG COMMAND LAYER[:gzip|:zstd|:none]…: puts an image into an OCI layout.

COMMAND is the config's Cmd as JSON; a layer is a tar in the folder LAYERS. Same tars, same digests. Blobs are added and
never removed, index.json is replaced at the end: readers of the layout see the old image or the new one.
"""
import gzip
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys

CREATED = '2023-11-14T22:13:20Z'
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
ARCHITECTURES = {'x86_64': 'amd64', 'aarch64': 'arm64'}
OCI = 'application/vnd.oci.image.'


def digest_of(path):
    with open(path, 'rb') as file:
        return 'sha256:' + hashlib.file_digest(file, 'sha256').hexdigest()


def compress(tar, out, compression):
    if compression == 'zstd':
        subprocess.check_call(['zstd', '-q', '-f', '-T1', '-3', tar, '-o', out])
        return
    with open(tar, 'rb') as source, open(out, 'wb') as file:
        if compression == 'none':
            shutil.copyfileobj(source, file)
            return
        with gzip.GzipFile('', 'wb', 6, file, mtime=0) as packed:
            shutil.copyfileobj(source, packed, 1 << 20)


class Layout:
    def __init__(self, root):
        self.root = root
        self.blobs = os.path.join(root, 'blobs', 'sha256')
        os.makedirs(self.blobs, exist_ok=True)
        with open(os.path.join(root, 'oci-layout'), 'w') as file:
            json.dump({'imageLayoutVersion': '1.0.0'}, file)

    def path(self, digest):
        return os.path.join(self.blobs, digest.removeprefix('sha256:'))

    def add_file(self, path, media_type):
        """Moves the file into the layout."""
        descriptor = {'mediaType': OCI + media_type, 'digest': digest_of(path), 'size': os.path.getsize(path)}
        os.replace(path, self.path(descriptor['digest']))
        return descriptor

    def add_json(self, value, media_type):
        path = os.path.join(self.root, 'new.json')
        with open(path, 'w') as file:
            json.dump(value, file, separators=(',', ':'))
        return self.add_file(path, media_type)

    def add_layer(self, tar, compression):
        """Returns descriptor and diff_id; a tar that did not change since last time is not compressed again."""
        known = f'{tar}.{compression}.json'
        if os.path.exists(known) and os.path.getmtime(known) > os.path.getmtime(tar):
            with open(known) as file:
                layer = json.load(file)
            if os.path.exists(self.path(layer['descriptor']['digest'])):
                return layer
        out = os.path.join(self.root, 'new.layer')
        compress(tar, out, compression)
        media_type = 'layer.v1.tar' + ('' if compression == 'none' else '+' + compression)
        layer = {'diff_id': digest_of(tar), 'descriptor': self.add_file(out, media_type)}
        with open(known, 'w') as file:
            json.dump(layer, file)
        return layer

    def tag(self, name, manifest):
        index = os.path.join(self.root, 'index.json')
        manifests = []
        if os.path.exists(index):
            with open(index) as file:
                manifests = json.load(file)['manifests']
        annotation = {'org.opencontainers.image.ref.name': name}
        manifests = [known for known in manifests if known.get('annotations') != annotation]
        with open(index + '.new', 'w') as file:
            json.dump({'schemaVersion': 2, 'manifests': [*manifests, {**manifest, 'annotations': annotation}]}, file)
        os.replace(index + '.new', index)


def main(root, layers, tag, command, *names):
    layout = Layout(root)
    parts = [name.partition(':') for name in names]
    stored = [layout.add_layer(os.path.join(layers, f'{name}.tar'), how or 'gzip') for name, _, how in parts]
    config = {
        'created': CREATED,
        'architecture': ARCHITECTURES.get(platform.machine(), platform.machine()),
        'os': 'linux',
        'config': {'Env': ['PATH=' + PATH], 'Cmd': json.loads(command)},
        'rootfs': {'type': 'layers', 'diff_ids': [layer['diff_id'] for layer in stored]},
        'history': [{'created': CREATED, 'created_by': name} for name, _, _ in parts],
    }
    manifest = {
        'schemaVersion': 2,
        'mediaType': OCI + 'manifest.v1+json',
        'config': layout.add_json(config, 'config.v1+json'),
        'layers': [layer['descriptor'] for layer in stored],
    }
    layout.tag(tag, layout.add_json(manifest, 'manifest.v1+json'))
    print(f'built {tag}: {len(names)} layers, {sum(layer["descriptor"]["size"] for layer in stored)} bytes')


if __name__ == '__main__':
    main(*sys.argv[1:])
