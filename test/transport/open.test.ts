import { describe, expect, it } from 'vitest';
import { openSource, openTarget } from '../../src/transport/open.ts';

describe('openSource()', () => {
  it.each(['docker://127.0.0.1:5000/a:b', 'oci:/folder:tag', 'oci-archive:/file:tag', 'docker-archive:/file:a:b'])(
    'opens %s without reading anything',
    async (text) => {
      const source = openSource(text, {});
      expect(source.reference).toBe(text);
      await source.close();
    },
  );

  it.each(['a', 'ftp://a', 'docker:a', 'oci:', 'docker://A/B'])('refuses %s', (text) => {
    expect(() => openSource(text, {})).toThrow(expect.objectContaining({ code: 'SLUICE_REFERENCE_INVALID' }));
  });
});

describe('openTarget()', () => {
  it.each(['docker://127.0.0.1:5000/a:b', 'oci:/folder:tag', 'oci-archive:/file:tag'])(
    'opens %s without writing anything',
    async (text) => {
      const target = openTarget(text, {});
      expect(target.reference).toBe(text);
      await target.close();
    },
  );

  it.each([
    ['docker-archive:/file:a:b', 'which holds no chunked blobs'],
    [`docker://127.0.0.1:5000/a@sha256:${'0'.repeat(64)}`, 'whose digest follows from the image'],
    ['nothing', 'which is no reference'],
  ])('refuses %s, %s', (text) => {
    expect(() => openTarget(text, {})).toThrow(expect.objectContaining({ code: 'SLUICE_REFERENCE_INVALID' }));
  });
});
