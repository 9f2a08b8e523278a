/** What blocks are in use for: the kinds there are, and the runs of an image as rows. */
import { bool, oneOf, optional, table, uint } from '../table.js';

/** Every block is of one of these, in the order legends have them; the number of a kind is its index. */
export const USES = {
  free: 'free, by the free-space btrees',
  agfl: 'on the free list, for the AG’s own btrees',
  header: 'superblock and AG headers',
  bnobt: 'free-space btree by place',
  cntbt: 'free-space btree by size',
  rmapbt: 'reverse-mapping btree',
  refcountbt: 'reference-count btree',
  inobt: 'inode btree',
  finobt: 'free-inode btree',
  inodes: 'inode chunks',
  log: 'the journal',
  dir: 'directories',
  attr: 'extended attributes',
  symlink: 'targets of symbolic links',
  bmbt: 'extent btrees of files',
  quota: 'quota and realtime inodes',
  data: 'file data with one owner',
  unwritten: 'preallocated file data, reads as zeros',
  shared: 'file data with several owners',
  cow: 'set aside for copy-on-write',
  contested: 'claimed in ways that cannot all be true',
  lost: 'neither claimed nor free',
} as const;

export type Use = keyof typeof USES;
export const USE_NAMES = Object.keys(USES) as Use[];
/** Number of each kind. */
export const USE = Object.fromEntries(USE_NAMES.map((name, i) => [name, i])) as Record<Use, number>;

export const MAP = table('map', 'a run of blocks in use for one thing', {
  agno: uint('allocation group'),
  agbno: uint('first block, counted from the start of the AG'),
  blocks: uint('length in blocks'),
  use: oneOf(USE_NAMES, 'what it is in use for'),
  owners: uint('owners: by the refcount btree where shared, claims where contested, 0 where nobody’s'),
  file: optional(bool('the file given by --file has it; null without one')),
});
