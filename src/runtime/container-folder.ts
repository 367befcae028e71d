import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { ContainerError } from '../errors.ts';
import { findMount } from '../fuse/mount-info.ts';

/** What lies in a container's folder. */
export type ContainerPart =
  /** Mount points: of the image, and of the root file system on top of it. */
  | 'image'
  | 'rootfs'
  /** What the container writes, and what overlayfs needs beside it. */
  | 'upper'
  | 'work'
  /** Of the OCI runtime. */
  | 'state'
  | 'config.json'
  | 'runtime.log'
  /** What the container sees as /etc/hosts, and so on. */
  | 'hosts'
  | 'hostname'
  | 'resolv.conf'
  /** Which process all of it belongs to. */
  | 'owner';

const folders: readonly ContainerPart[] = ['image', 'rootfs', 'upper', 'work', 'state'];

/** A container's folder, named like the container. It belongs to one process, and goes with it. */
export class ContainerFolder {
  readonly path: string;

  /** @param parent - absolute, without symbolic links */
  constructor(parent: string, name: string) {
    this.path = path.join(parent, name);
  }

  get name(): string {
    return path.basename(this.path);
  }

  /** Absolute. */
  at(part: ContainerPart): string {
    return path.join(this.path, part);
  }

  /**
   * Makes the folder and says that it is this process's.
   * @throws {ContainerError} SLUICE_CONTAINER_EXISTS when there is a container of that name, or what is left of one
   */
  create(): void {
    try {
      mkdirSync(this.path, { mode: 0o700 });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
      throw new ContainerError(
        'SLUICE_CONTAINER_EXISTS',
        `Cannot run "${this.name}": there is a container of that name`,
      );
    }
    writeFileSync(this.at('owner'), ownerOf(process.pid), { mode: 0o600 });
    for (const part of folders) mkdirSync(this.at(part), { mode: 0o755 });
  }

  /** Whether the process it belongs to lives; undefined while nothing says whose it is. */
  isOwned(): boolean | undefined {
    const owner = readIfThere(this.at('owner'));
    if (owner === '') return undefined;
    return ownerOf(Number(owner.split(' ', 1)[0])) === owner;
  }

  /**
   * Removes it and all that the container wrote, if nothing is mounted in it any more: a mount is never emptied.
   * @returns whether it is gone
   */
  async remove(): Promise<boolean> {
    if (findMount(this.at('rootfs')) !== undefined || findMount(this.at('image')) !== undefined) return false;
    await rm(this.path, { recursive: true, force: true });
    return true;
  }
}

/**
 * A process and when it began, so that a later one of the same number is another.
 * Source: proc_pid_stat(5): the name, which may hold anything, ends with the last bracket; field 22 is the start time.
 * @returns empty when there is no such process
 */
function ownerOf(pid: number): string {
  const stat = readIfThere(`/proc/${pid}/stat`);
  return stat === '' ? '' : `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
