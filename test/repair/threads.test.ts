/** However many threads look, what they find is the same, in the same order; on healthy and damaged images. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockOffset } from '../../src/format/geometry.js';
import { openSource } from '../../src/image/open.js';
import { OverlaySource } from '../../src/image/overlay.js';
import { type Examination, examine, examineByThreads } from '../../src/repair/examine.js';
import { CLAIM } from '../../src/repair/observe/columns.js';
import { openVolume } from '../../src/volume/volume.js';
import { populated } from '../support/cache.js';
import { oracle } from '../support/oracle.js';
import { random } from '../support/random.js';

const SHAPES: readonly (readonly [string, readonly string[]])[] = [
  ['rmap btree', ['-m', 'rmapbt=1']],
  ['1 KiB blocks, no rmap btree', ['-b', 'size=1024', '-m', 'rmapbt=0']],
];
/** Few inodes at a time, so that a small image gives every thread several turns. */
const STRETCH = 64;

/** All that was observed and found, as text. */
function told({ observation, findings }: Examination): string {
  const { ags, table, inodes, log } = observation;
  return JSON.stringify({
    findings: findings.map((f) => ({ ...f, path: f.path })),
    faults: log.count,
    nextUnlinked: [...inodes.nextUnlinked],
    parent: [...inodes.parent],
    dangling: inodes.dangling,
    blockCounts: inodes.blockCounts,
    flags: [...table.flags],
    types: [...table.type],
    nlink: [...table.nlink],
    entries: [...table.entries.count],
    entryTypes: [...table.entries.types],
    heldBy: [...table.heldBy],
    ags: ags.map((look) => [
      look.trees,
      ...[look.claims, look.rmaps].map((c) =>
        [c.start, c.blocks, c.owner, c.offset, c.info].map((column) => [...column.subarray(0, c.count)]),
      ),
      ...[look.byStart, look.bySize, look.shared, look.cow].map((r) =>
        [r.start, r.blocks, r.value].map((column) => [...column.subarray(0, r.count)]),
      ),
    ]),
  });
}

/** Changes a byte in each of `count` blocks of metadata. */
function damage(hurt: OverlaySource, examined: Examination, seed: number, count: number): void {
  const rnd = random(seed);
  const places: number[] = [];
  const { ags, volume } = examined.observation;
  for (const { agno, claims } of ags)
    for (let i = 0; i < claims.count; i++)
      if ((claims.info[i] & CLAIM.DATA) === 0)
        for (let b = 0; b < Math.min(claims.blocks[i], 64); b++)
          if (claims.start[i] + b > 0) places.push(blockOffset(volume.g, agno, claims.start[i] + b));
  const byte = new Uint8Array(1);
  for (let i = 0; i < count; i++) {
    const at = places[Math.floor(rnd() * places.length)] + Math.floor(rnd() * volume.g.blocksize);
    hurt.read(at, byte);
    byte[0] ^= 1 << Math.floor(rnd() * 8);
    hurt.write(at, byte);
  }
}

for (const [name, args] of SHAPES) {
  test(`one thread or several: ${name}`, oracle('mount'), async () => {
    const { image } = populated({ mkfs: { args } });
    const source = openSource(image);
    const healthy = openVolume(source);
    const alone = examine(healthy);
    const several = await examineByThreads(healthy, undefined, 3, STRETCH);
    assert.equal(several.observation.threads, 3);
    assert.ok(told(several) === told(alone), 'healthy');
    for (const [seed, count] of [
      [1, 3],
      [2, 60],
    ]) {
      const hurt = new OverlaySource(source);
      damage(hurt, alone, seed, count);
      const one = told(examine(openVolume(hurt)));
      assert.ok(one !== told(alone), `seed ${seed} does damage`);
      for (const threads of [1, 2, 4]) {
        const many = await examineByThreads(openVolume(hurt), undefined, threads, STRETCH);
        assert.ok(told(many) === one, `seed ${seed}, ${threads} threads`);
      }
    }
    healthy.close();
  });
}
