/** The healthy image that fields are damaged on, and the inodes that stand for all shapes. */
import { openSource } from '../../src/image/open.js';
import type { Source } from '../../src/image/source.js';
import { resolvePath } from '../../src/volume/path.js';
import { openVolume } from '../../src/volume/volume.js';
import { populated } from '../support/cache.js';
import { type Target, targets } from './targets.js';

/** Shapes of inodes by the names `populate` gives them. */
const SHAPES = [
  'file:extents300',
  'file:unwritten-mixed',
  'file:odd',
  'file:empty',
  'dir:4',
  'dir:200',
  'dir:btree',
  'symlink:20',
  'symlink:700',
  'special:char',
  'special:fifo',
  'shared:clone0',
  'attr:short',
  'attr:leaf',
  'attr:btree',
  'flag:extsize',
  'flag:cowextsize',
];

/** 1 KiB blocks make trees of several levels; the second AG has its share of everything. */
export function healthy(): { source: Source; targets: Target[] } {
  const mkfs = { args: ['-b', 'size=1024', '-m', 'rmapbt=1'] };
  const { image, notes } = populated({ mkfs, populate: { scale: 'full' } });
  const source = openSource(image);
  const volume = openVolume(source);
  const inodes = new Map(
    SHAPES.map((note) => [note, resolvePath(volume, notes.get(note)!, { follow: false }).ino]),
  );
  return { source, targets: targets(volume, 1, inodes) };
}
