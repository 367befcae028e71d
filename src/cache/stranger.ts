import { rmdirSync, unlinkSync } from 'node:fs';
import path from 'node:path';
import { emptyDevice } from './device-files.ts';
import { removeDeviceMap } from './device-map.ts';
import { closeBoth, type DeviceEntry, isStillThere, openExistingDevice } from './directory.ts';
import type { CacheEngine } from './engine.ts';
import { withLock } from './lock.ts';

/**
 * Takes back the room of a device this process does not have open, and whose chunk map it therefore does not know: as
 * a whole. One that nobody has open disappears; under another process's hands it is emptied.
 * @returns bytes of disk given back
 */
export function evictStranger(entry: DeviceEntry, engine: CacheEngine): number {
  const handles = openExistingDevice(entry.path);
  if (handles === undefined) return 0;
  try {
    if (engine.holdAlone(handles.dataFd) && isStillThere(handles)) {
      removeFolder(entry.path);
      return entry.bytes;
    }
    const lock = engine.lock(entry.path, handles.stateFd);
    return withLock(lock, () => emptyDevice(handles.dataFd, handles.stateFd)) ?? 0;
  } finally {
    closeBoth(handles);
  }
}

function removeFolder(folder: string): void {
  unlinkSync(path.join(folder, 'data'));
  unlinkSync(path.join(folder, 'state'));
  removeDeviceMap(folder);
  try {
    rmdirSync(folder);
  } catch {
    // Another process has begun to fill it anew, or somebody's own file lies there: it stays.
  }
}
