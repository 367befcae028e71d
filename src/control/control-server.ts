import type { ServedImage } from '../mount/serve-image.ts';
import { JsonServer } from './json-server.ts';
import { MountTable, mountRoutes } from './mount-table.ts';
import { newSocketFile } from './socket-file.ts';

/** Lets other processes of this user look at the mounts of this one, and tell them what to do. */
export class ControlServer {
  /** The socket. */
  readonly file: string;
  readonly #server: JsonServer;
  readonly #mounts: MountTable;

  private constructor(file: string, server: JsonServer, mounts: MountTable) {
    this.file = file;
    this.#server = server;
    this.#mounts = mounts;
  }

  /**
   * @param cacheDirectory - processes that use one cache find each other
   * @returns answers already
   * @throws {UsageError} SLUICE_OPTION_INVALID when the socket's path is too long
   */
  static async listen(cacheDirectory: string): Promise<ControlServer> {
    const place = newSocketFile(cacheDirectory);
    const mounts = new MountTable();
    return new ControlServer(place.file, await JsonServer.listen(place, mountRoutes(mounts)), mounts);
  }

  /** Until the mount has ended. */
  add(mount: ServedImage): void {
    this.#mounts.add(mount);
  }

  /** Removes the socket. */
  close(): void {
    this.#server.close();
  }
}
