// A daemon that serves nothing: it writes down what its holder asks, and does what its orders say.
import { appendFileSync, closeSync, openSync, readSync } from 'node:fs';
import { HolderLink } from '../../dist/holder/holder-link.js';
import { loadNative } from '../../dist/native.js';

const [, , log, mode = ''] = process.argv;
const say = (text) => appendFileSync(log, `${text}\n`);
const contentOf = (fd) => {
  const bytes = Buffer.alloc(100);
  return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0));
};
const stay = setInterval(() => undefined, 1000);

if (mode === 'broken') process.exit(3);
const link = HolderLink.connect(
  loadNative(),
  {
    async prepare(mounts) {
      if (mode === 'unprepared') process.exit(4);
      say(`${mode}prepare ${JSON.stringify(mounts)}`);
    },
    async serve(mounts) {
      if (mode === 'dies-serving') process.exit(5);
      say(
        `${mode}serve ${mounts.map(({ id, record, fd }) => `${id} ${record} ${contentOf(fd)}`).join(', ')} pid ${process.pid}`,
      );
      if (mounts.length > 0 || mode !== '') return;
      for (const [i, name] of ['one', 'two', 'three'].entries()) {
        const fd = openSync(`${log}.${name}`, 'r');
        link.keep({ id: i, record: name }, fd);
        closeSync(fd);
      }
      link.drop(1);
    },
    async release() {
      say('release');
      link.drop(0);
    },
    lost: () => process.exit(0),
  },
  (error) => {
    say(`failed ${error}`);
    process.exit(9);
  },
);

process.on('SIGUSR2', async () => {
  const { UPGRADE_TO } = process.env;
  const command = UPGRADE_TO && [process.execPath, process.argv[1], log, UPGRADE_TO];
  try {
    const { pid } = await link.upgrade(command || undefined);
    say(`upgraded to ${pid}`);
    process.exit(0);
  } catch (error) {
    say(`${error.code} ${error.message.replace(/pid \d+/, 'pid')}`);
  }
});
process.on('SIGTERM', () => {
  say('term');
  clearInterval(stay);
  process.exit(0);
});
