import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { apiRequest, writeReply } from '../demo/http-server.ts';
import { RegistryRoutes } from '../demo/registry-routes.ts';
import { RegistryStore } from '../demo/registry-store.ts';
import { requestMark } from './probes/request-log.ts';
import { listeningMark, type RegistryConfiguration } from './registry.ts';

/**
 * The registry of a machine without docker-registry, in a process of its own: it writes to stdout what that one logs.
 * Ends with its standard input.
 */
export async function runEmbeddedRegistry(configurationFile: string): Promise<void> {
  const { http, storage } = JSON.parse(readFileSync(configurationFile, 'utf8')) as RegistryConfiguration;
  const routes = new RegistryRoutes(new RegistryStore(storage.filesystem.rootdirectory));
  const server = createServer((incoming, response) => {
    process.stdout.write(`${requestMark} ${incoming.method} ${incoming.url}\n`);
    const reply = routes.handle(apiRequest(incoming));
    reply.then((answer) => writeReply(answer, incoming.method === 'HEAD', response)).catch(() => response.destroy());
  });
  const [address, port] = http.addr.split(':');
  server.listen(Number(port), address);
  await once(server, 'listening');
  process.stdout.write(`${listeningMark} ${http.addr}\n`);
  process.stdin.resume();
  await once(process.stdin, 'end');
  server.close();
  server.closeAllConnections();
}
