/** Replaying the log of images crashed by Linux: the same end as Linux's own replay, from any cut. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { OverlaySource } from '../../src/image/overlay.js';
import { FileSource, type Source } from '../../src/image/source.js';
import { type RedoResult, redoLog } from '../../src/journal/recover.js';
import { scanLog } from '../../src/journal/scan.js';
import { openVolume } from '../../src/volume/volume.js';
import { CRASH_GEOMETRIES, crashImage, Load, linuxTree, treeDifferences } from '../support/crash.js';
import { Cut, CutSource } from '../support/cut.js';
import { copyImage, oracle, tmpdir } from '../support/oracle.js';
import { random } from '../support/random.js';

const redo = (source: Source): RedoResult => redoLog(scanLog(source, openVolume(source).g));

/** Runs with an overlay over the image, which stays as it is. */
function withOverlay<T>(image: string, fn: (overlay: OverlaySource) => T): T {
  const file = FileSource.open(image);
  try {
    return fn(new OverlaySource(file));
  } finally {
    file.close();
  }
}

const pages = (overlay: OverlaySource): Map<number, string> =>
  new Map([...overlay.pages()].map(([offset, bytes]) => [offset, Buffer.from(bytes).toString('latin1')]));

describe(
  'replay of images crashed under load',
  oracle('mount', 'mkfs.xfs', 'xfs_io', 'setfattr', 'getfattr'),
  () => {
    const folder = tmpdir();
    const images: string[] = [];

    before(async () => {
      const load = new Load(2);
      try {
        for (const [i, name] of ['rmapbt', '1k', 'noreflink'].entries()) {
          const geometry = CRASH_GEOMETRIES.find((g) => g.name === name)!;
          const image = join(folder, `${name}.img`);
          await crashImage(image, load, { geometry, seed: 40 + i, milliseconds: 600, flushlog: true });
          images.push(image);
        }
      } finally {
        load.close();
      }
    });
    after(() => images.splice(0));

    test('Linux finds on what was replayed here what it finds on its own', () => {
      for (const image of images) {
        const [ours, linux] = [copyImage(image, `${image}.ours`), copyImage(image, `${image}.linux`)];
        const file = FileSource.open(ours, 'r+');
        const result = redo(file);
        assert.ok(result.replayed > 10, `${result.replayed} items replayed`);
        result.set.apply();
        file.close();
        assert.deepEqual(treeDifferences(linuxTree(linux), linuxTree(ours)), []);
      }
    });

    test('nothing is written before all of it is replayed in memory', () => {
      for (const image of images)
        withOverlay(image, (overlay) => {
          assert.ok(redo(overlay).set.sectors > 0);
          assert.equal(overlay.dirtyPages, 0);
        });
    });

    test('a replay of what was replayed changes nothing', () => {
      for (const image of images)
        withOverlay(image, (overlay) => {
          redo(overlay).set.apply();
          const first = pages(overlay);
          const again = redo(overlay);
          again.set.apply();
          assert.ok(again.newer > 0);
          assert.deepEqual(pages(overlay), first);
        });
    });

    test('cut at any sector, a second run comes to the same bytes', () => {
      const rnd = random(7);
      for (const image of images) {
        const { written, whole } = withOverlay(image, (overlay) => {
          const source = new CutSource(overlay);
          redo(source).set.apply();
          return { written: source.written, whole: pages(overlay) };
        });
        for (let i = 0; i < 20; i++) {
          const sectors = Math.floor(rnd() * written);
          withOverlay(image, (overlay) => {
            assert.throws(() => redo(new CutSource(overlay, sectors)).set.apply(), Cut);
            redo(overlay).set.apply();
            for (const [offset, bytes] of whole) {
              const page = new Uint8Array(bytes.length);
              overlay.read(offset, page);
              assert.equal(
                Buffer.from(page).toString('latin1'),
                bytes,
                `cut after ${sectors}: byte ${offset}`,
              );
            }
          });
        }
      }
    });
  },
);
