import type { ServedImage } from '../mount/serve-image.ts';
import { ControlServer } from './control-server.ts';

/**
 * Offers control of the one mount of a process, until it ends. Not being able to is no reason to end it.
 * @param onFailure - told why not, in words
 */
export async function offerControl(
  cacheDirectory: string,
  mount: ServedImage,
  onFailure: (message: string) => void,
): Promise<void> {
  try {
    const control = await ControlServer.listen(cacheDirectory);
    control.add(mount);
    const close = (): void => control.close();
    mount.ended.then(close, close);
  } catch (error) {
    onFailure(`"sluice trace" will not find this mount: ${error instanceof Error ? error.message : String(error)}`);
  }
}
