import type { Socket } from 'node:net';
import type { Digest } from '../oci/digest.ts';
import { apiRequest, closeServer, hostOf, listen, writeReply } from './http-server.ts';
import { RegistryRoutes } from './registry-routes.ts';
import { RegistryStore } from './registry-store.ts';

/** A registry in this process. */
export interface EmbeddedRegistry {
  /** `127.0.0.1:PORT`, as in references. */
  readonly host: string;
  /** Everything sent to clients so far, headers too, bytes. */
  readonly sentBytes: number;
  /** The file a blob lies in: who changes it damages the blob. */
  blobFile(digest: Digest): string;
  close(): Promise<void>;
}

/**
 * Starts a small registry on loopback, open to everybody on this machine.
 *
 * @param folder - for the blobs; the caller removes it
 * @param port - 0 for any free one
 */
export async function startRegistry(folder: string, port = 0): Promise<EmbeddedRegistry> {
  const store = new RegistryStore(folder);
  const routes = new RegistryRoutes(store);
  const server = await listen(async (incoming, response) => {
    const reply = await routes.handle(apiRequest(incoming));
    await writeReply(reply, incoming.method === 'HEAD', response);
  }, port);
  const connections: Socket[] = [];
  server.on('connection', (socket) => connections.push(socket));
  return {
    host: hostOf(server),
    get sentBytes() {
      return connections.reduce((sum, { bytesWritten }) => sum + bytesWritten, 0);
    },
    blobFile: (digest) => store.blobFile(digest),
    close: () => closeServer(server),
  };
}
