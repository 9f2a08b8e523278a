/** The healthy images of the repair campaign: small, every shape of object in them. */
import { constants, copyFileSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OverlaySource } from '../../../src/image/overlay.js';
import { MemorySource } from '../../../src/image/source.js';
import { recoverLog } from '../../../src/transaction/recovery/recover.js';
import { resolvePath } from '../../../src/volume/path.js';
import { openVolume } from '../../../src/volume/volume.js';
import { allTargets, type Target } from '../../fuzz/targets.js';
import { cachedImage, populated } from '../../support/cache.js';
import { crash, mount, unmount } from '../../support/mount.js';
import { copyImage, run, sha256 } from '../../support/oracle.js';
import { BaseTree } from './tree.js';

const MIB = 1 << 20;

/** mkfs.xfs arguments of the images: both block sizes, with and without an rmap btree. */
const IMAGES: Record<string, string[]> = {
  'k1-rmap': ['-b', 'size=1024', '-m', 'rmapbt=1', '-i', 'nrext64=1'],
  k1: ['-b', 'size=1024', '-m', 'rmapbt=0'],
  'k4-rmap': ['-m', 'rmapbt=1'],
  k4: ['-m', 'rmapbt=0'],
};

export const IMAGE_NAMES = Object.keys(IMAGES);

export interface BaseImage {
  readonly name: string;
  readonly path: string;
  readonly bytes: Buffer;
  readonly source: MemorySource;
  readonly sha: string;
  readonly targets: readonly Target[];
  readonly tree: BaseTree;
}

/** The file of one of the images, made where there is none yet, and where its shapes are. */
export const imageFile = (name: string): ReturnType<typeof populated> =>
  populated({
    mkfs: { size: 64 * MIB, tiny: true, args: ['-d', 'agcount=4', ...IMAGES[name]] },
    populate: { scale: 'tiny' },
  });

/** Opens one of the images. */
export function baseImage(name: string): BaseImage {
  const { image: path, notes } = imageFile(name);
  const image = imageAt(name, path);
  const volume = openVolume(image.source);
  const inodes = new Map<string, number>();
  const seen = new Set<number>();
  for (const [note, where] of notes) {
    const { ino } = resolvePath(volume, where, { follow: false });
    if (!seen.has(ino)) inodes.set(note, ino);
    seen.add(ino);
  }
  inodes.set('root', volume.g.rootino);
  return { ...image, targets: allTargets(volume, inodes) };
}

/** The image changed by Linux and crashed: its log has all of that to replay. */
export function crashedImage(image: BaseImage): BaseImage {
  const { image: path } = cachedImage(`crashed, in records ${image.sha}`, (path) => {
    const root = mount(copyImage(image.path, path));
    try {
      const dir = join(root, 'work');
      mkdirSync(dir);
      for (let i = 0; i < 40; i++) {
        writeFileSync(join(dir, `file${i}`), `${i}`.repeat(700));
        // More than eight records: those before them are no torn writes, whatever becomes of them.
        if (i % 2 === 0) run('sync', ['-f', root]);
      }
      for (let i = 0; i < 40; i += 3) unlinkSync(join(dir, `file${i}`));
      copyFileSync(join(dir, 'file1'), join(dir, 'clone'), constants.COPYFILE_FICLONE_FORCE);
      mkdirSync(join(dir, 'below'));
      crash(root, { flushlog: true });
    } finally {
      unmount(root);
    }
  });
  return { ...imageAt(`${image.name} crashed`, path), targets: image.targets };
}

/** An image whose fields are not asked for; its tree is what is to be seen once the log is replayed. */
export function imageAt(name: string, path: string): BaseImage {
  const bytes = readFileSync(path);
  const source = new MemorySource(bytes);
  const replayed = new OverlaySource(source);
  recoverLog(replayed);
  return {
    name,
    path,
    bytes,
    source,
    sha: sha256(path),
    targets: [],
    tree: new BaseTree(openVolume(replayed)),
  };
}
