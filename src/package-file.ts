import { fileURLToPath } from 'node:url';

/**
 * Where a file of this package lies, whichever of `src/`, `dist/` and `bundle/` this runs from: each is one level below
 * the package's root.
 * @param name - from the root: `native/build/netshape`
 */
export function packageFile(name: string): string {
  return fileURLToPath(new URL(`../${name}`, import.meta.url));
}
