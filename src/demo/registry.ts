import { apiRequest, closeServer, hostOf, listen, writeReply } from './http-server.ts';
import { RegistryRoutes } from './registry-routes.ts';
import { RegistryStore } from './registry-store.ts';

/** A registry in this process. */
export interface EmbeddedRegistry {
  /** `127.0.0.1:PORT`, as in references. */
  readonly host: string;
  close(): Promise<void>;
}

/**
 * Starts a small registry on loopback, open to everybody on this machine.
 *
 * @param folder - for the blobs; the caller removes it
 * @param port - 0 for any free one
 */
export async function startRegistry(folder: string, port = 0): Promise<EmbeddedRegistry> {
  const routes = new RegistryRoutes(new RegistryStore(folder));
  const server = await listen(async (incoming, response) => {
    const reply = await routes.handle(apiRequest(incoming));
    await writeReply(reply, incoming.method === 'HEAD', response);
  }, port);
  return { host: hostOf(server), close: () => closeServer(server) };
}
