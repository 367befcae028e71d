/**
 * Writes pieces to stdout at the pace it takes them. When its reader goes away (`| head`), the rest is not asked for.
 * @param pieces - each is written before the next is asked for
 */
export async function writeOut(pieces: AsyncIterable<Uint8Array | string> | Iterable<string>): Promise<void> {
  const ignore = (): void => undefined;
  // Node reports a broken pipe to the callback and as an event, which would end the process.
  process.stdout.on('error', ignore);
  try {
    for await (const piece of pieces) await write(piece);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  } finally {
    process.stdout.off('error', ignore);
  }
}

function write(piece: Uint8Array | string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(piece, (error) => (error ? reject(error) : resolve()));
  });
}
