import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * nginx as a registry to read from: the blobs of an OCI layout as plain files, ranges included. It is the quickest there
 * is, so what is measured is the client.
 *
 * @param layout - folder of the layout
 * @returns `image`, its only image as `docker://…`, and `close`
 */
export async function serveLayout(layout, directory) {
  const port = await freePort();
  const { manifests } = JSON.parse(readFileSync(path.join(layout, 'index.json'), 'utf8'));
  const [manifest] = manifests;
  const blobs = path.join(layout, 'blobs/sha256');
  const file = path.join(directory, 'nginx.conf');
  writeFileSync(file, configuration({ port, directory, blobs, manifest }));
  mkdirSync(path.join(directory, 'nginx'), { recursive: true });
  const child = spawn('nginx', ['-p', directory, '-c', file, '-e', path.join(directory, 'nginx/error.log')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await answers(`http://127.0.0.1:${port}/v2/`);
  const close = () => {
    child.kill();
    return ended;
  };
  return { image: `docker://127.0.0.1:${port}/image@${manifest.digest}`, close };
}

function configuration({ port, directory, blobs, manifest }) {
  const hex = manifest.digest.slice('sha256:'.length);
  return `daemon off; user root; pid ${directory}/nginx.pid; worker_processes 1; events {}
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path ${directory}/nginx; proxy_temp_path ${directory}/nginx; fastcgi_temp_path ${directory}/nginx;
  uwsgi_temp_path ${directory}/nginx; scgi_temp_path ${directory}/nginx;
  server {
    listen 127.0.0.1:${port};
    location = /v2/ { return 200 '{}'; }
    location = /v2/image/manifests/${manifest.digest} { types {} default_type ${manifest.mediaType}; alias ${blobs}/${hex}; }
    location ~ ^/v2/image/blobs/sha256:([0-9a-f]+)$ { default_type application/octet-stream; alias ${blobs}/$1; }
  }
}
`;
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answers(url) {
  for (let wait = 0; wait < 100; wait++) {
    const isUp = await fetch(url).then(
      () => true,
      () => false,
    );
    if (isUp) return;
    await sleep(50);
  }
  throw new Error(`nginx does not answer at ${url}`);
}
