/** Forged damage on images that Linux made, and what it is to be told for. */
import assert from 'node:assert/strict';
import { type Base, blockOf, setExtent, setMany, setReflink } from './base.js';

export interface Forgery {
  name: string;
  make(base: Base): string[];
  /**
   * Damage expected with an rmap btree and without: 'code path', sorted. Left out where what matters is what
   * becomes of it.
   */
  rmap?: string[];
  plain?: string[];
  /** Notes, the same either way unless `plainNotes` says otherwise. */
  notes?: string[];
  plainNotes?: string[];
  /** Bytes are gone even with an rmap btree. */
  loses?: boolean;
}

/** Record of the refcount btree that starts at a file's first shared block, as xfs_db counts them. */
const refcountRecord = (base: Base, file: string): number =>
  [...new Set(['base', 'a', 'lender'].map((f) => blockOf(base, f)))]
    .sort((x, y) => x - y)
    .indexOf(blockOf(base, file)) + 1;

const refcount = (...commands: string[]): string[] => ['agf 0', 'addr refcntroot', ...commands];

export const FORGERIES: Forgery[] = [
  {
    name: 'unflagged onto unflagged, of the same length',
    make: (b) => setExtent(b, 'same', 'startblock', blockOf(b, 'victim')),
    rmap: ['duplicate.corrupt /same'],
    // Nothing on disk tells which of the two lost its own blocks.
    plain: ['duplicate.undecided', 'free.leaked'],
  },
  {
    name: 'unflagged onto unflagged, of another length',
    make: (b) => setExtent(b, 'other', 'startblock', blockOf(b, 'victim')),
    rmap: ['duplicate.corrupt /other'],
    plain: ['duplicate.corrupt /other'],
  },
  {
    name: 'overlap over the ends of two files',
    make: (b) => setExtent(b, 'other', 'startblock', blockOf(b, 'victim') + 7),
    rmap: ['duplicate.corrupt /other', 'duplicate.corrupt /other'],
    plain: ['duplicate.corrupt /other', 'duplicate.corrupt /other'],
  },
  {
    name: 'overlap in the middle of a file',
    make: (b) => setExtent(b, 'tiny', 'startblock', blockOf(b, 'victim') + 4),
    rmap: ['duplicate.corrupt /tiny'],
    plain: ['duplicate.corrupt /tiny'],
  },
  {
    name: 'unflagged onto shared by two',
    make: (b) => setExtent(b, 'other', 'startblock', blockOf(b, 'base')),
    rmap: ['duplicate.corrupt /other'],
    plain: ['duplicate.corrupt /other'],
  },
  {
    name: 'unflagged onto shared by three',
    make: (b) => setExtent(b, 'tiny', 'startblock', blockOf(b, 'a') + 2),
    rmap: ['duplicate.corrupt /tiny'],
    plain: ['duplicate.corrupt /tiny'],
  },
  {
    name: 'flagged, of blocks that were its own, onto unflagged',
    make: (b) => setExtent(b, 'flagged', 'startblock', blockOf(b, 'same') - 5),
    rmap: ['duplicate.corrupt /flagged', 'duplicate.corrupt /flagged'],
    plain: ['duplicate.corrupt /flagged', 'duplicate.corrupt /flagged'],
  },
  {
    name: 'flagged, of blocks that were its own, moved back by one onto shared by three',
    make: (b) => setExtent(b, 'flagged', 'startblock', blockOf(b, 'a') + 4),
    plain: ['duplicate.corrupt /flagged', 'free.leaked'],
  },
  {
    name: 'flagged, of blocks that were shared, onto unflagged',
    make: (b) => setExtent(b, 'base', 'startblock', blockOf(b, 'victim')),
    rmap: ['duplicate.corrupt /base'],
    plain: ['duplicate.corrupt /base'],
  },
  {
    name: 'one of three sharers onto two others',
    make: (b) => setExtent(b, 'c', 'startblock', blockOf(b, 'base')),
    rmap: ['duplicate.corrupt /c'],
    plain: ['duplicate.corrupt /c'],
  },
  {
    name: 'three unflagged claimants on one run',
    make: (b) => [
      ...setExtent(b, 'other', 'startblock', blockOf(b, 'victim')),
      ...setExtent(b, 'tiny', 'startblock', blockOf(b, 'victim')),
    ],
    rmap: ['duplicate.corrupt /other', 'duplicate.corrupt /other', 'duplicate.corrupt /tiny'],
    plain: ['duplicate.corrupt /other', 'duplicate.corrupt /other', 'duplicate.corrupt /tiny'],
  },
  {
    name: 'extent made longer, into the next file',
    make: (b) => setExtent(b, 'victim', 'blockcount', 14),
    rmap: ['duplicate.corrupt /victim'],
    plain: ['duplicate.corrupt /victim'],
  },
  {
    name: 'extent made longer, past the next of its own and into the next files',
    make: (b) => setExtent(b, 'flagged', 'blockcount', 14),
    // Where it is one extent with an rmap btree, this makes it shorter: what becomes of it is all that counts.
    plain: ['data-fork.value /flagged', 'duplicate.corrupt /flagged', 'refcount.high'],
    plainNotes: ['reflink.flag-unneeded /flagged', 'reflink.flag-unneeded /lender'],
  },
  {
    name: 'refcount btree without its magic, and a leak as long as what three share',
    make: (b) => [...refcount('write -d magic 0'), ...setExtent(b, 'other', 'blockcount', 1)],
    rmap: ['free.leaked', 'inode.blocks /other', 'mapping.lost /other', 'refcountbt.magic', 'rmap.stale'],
    plain: ['free.leaked', 'free.leaked', 'inode.blocks /other', 'refcountbt.magic'],
  },
  {
    name: 'two files with their blocks swapped',
    make: (b) => [
      ...setExtent(b, 'victim', 'startblock', blockOf(b, 'same')),
      ...setExtent(b, 'same', 'startblock', blockOf(b, 'victim')),
    ],
    rmap: ['mapping.wrong /same', 'mapping.wrong /victim'],
    // No trace of it is left without an rmap btree.
    plain: [],
  },
  {
    name: 'flag lost by one of two',
    make: (b) => setReflink(b, 'base', false),
    rmap: ['reflink.flag-lost /base'],
    plain: ['reflink.flag-lost /base'],
  },
  {
    name: 'flags lost by all of three',
    make: (b) => ['a', 'b', 'c'].flatMap((f) => setReflink(b, f, false)),
    rmap: ['reflink.flag-lost /a', 'reflink.flag-lost /b', 'reflink.flag-lost /c'],
    plain: ['reflink.flag-lost /a', 'reflink.flag-lost /b', 'reflink.flag-lost /c'],
  },
  {
    name: 'flag lost by one, and an unflagged file onto the same blocks',
    make: (b) => [...setReflink(b, 'a', false), ...setExtent(b, 'tiny', 'startblock', blockOf(b, 'a'))],
    rmap: ['duplicate.corrupt /tiny', 'reflink.flag-lost /a'],
    plain: ['duplicate.corrupt /tiny', 'reflink.flag-lost /a'],
  },
  {
    name: 'flag without sharing',
    make: (b) => setReflink(b, 'victim', true),
    rmap: [],
    plain: [],
    notes: ['reflink.flag-unneeded /victim'],
  },
  {
    name: 'refcount record too low',
    make: (b) => refcount(`write -d recs[${refcountRecord(b, 'a')}].refcount 2`),
    rmap: ['refcount.low'],
    plain: ['refcount.low'],
  },
  {
    name: 'refcount record too high',
    make: (b) => refcount(`write -d recs[${refcountRecord(b, 'base')}].refcount 7`),
    rmap: ['refcount.high'],
    plain: ['refcount.high'],
  },
  {
    name: 'last refcount record missing',
    make: () => refcount('write -d numrecs 2'),
    rmap: ['refcount.missing'],
    plain: ['refcount.missing'],
  },
  {
    name: 'all refcount records missing',
    make: () => refcount('write -d numrecs 0'),
    rmap: ['refcount.missing', 'refcount.missing', 'refcount.missing'],
    plain: ['refcount.missing', 'refcount.missing', 'refcount.missing'],
  },
  {
    name: 'refcount record short by a block',
    make: (b) => refcount(`write -d recs[${refcountRecord(b, 'base')}].blockcount 7`),
    rmap: ['refcount.missing'],
    plain: ['refcount.missing'],
  },
  {
    name: 'refcount record in the CoW domain',
    make: () => refcount('write -d recs[3].cowflag 1', 'write -d recs[3].refcount 1'),
    rmap: ['refcount.domain', 'refcount.missing'],
    plain: ['refcount.domain', 'refcount.missing'],
  },
  {
    name: 'data onto a directory block',
    make: (b) => setExtent(b, 'tiny', 'startblock', blockOf(b, 'dir')),
    rmap: ['duplicate.metadata /tiny'],
    plain: ['duplicate.metadata /tiny'],
  },
  {
    name: 'data onto the AG headers',
    make: (b) => setExtent(b, 'tiny', 'startblock', 0),
    rmap: ['duplicate.metadata /tiny'],
    plain: ['duplicate.metadata /tiny'],
  },
  {
    name: 'data onto an inode chunk',
    make: (b) => setExtent(b, 'tiny', 'startblock', Math.floor(b.ino.get('victim')! / 8)),
    rmap: ['duplicate.metadata /tiny'],
    plain: ['duplicate.metadata /tiny'],
  },
  {
    name: 'data onto the log',
    make: (b) => setExtent(b, 'other', 'startblock', b.logstart + 5),
    rmap: ['duplicate.metadata /other'],
    plain: ['duplicate.metadata /other'],
  },
  {
    name: 'data onto free space',
    make: (b) => setExtent(b, 'other', 'startblock', b.agblocks - 100),
    rmap: ['mapping.free /other'],
    plain: ['mapping.free /other'],
  },
  {
    name: 'data past the end of the filesystem',
    make: (b) => setExtent(b, 'other', 'startblock', 9_999_999),
    rmap: ['data-fork.value /other', 'mapping.lost /other'],
    plain: ['data-fork.value /other', 'mapping.lost /other'],
  },
  {
    name: 'data across the end of an AG',
    make: (b) => setExtent(b, 'other', 'startblock', b.agblocks - 3),
    rmap: ['data-fork.value /other', 'mapping.lost /other'],
    plain: ['data-fork.value /other', 'mapping.lost /other'],
  },
  {
    name: 'data onto free space, and another file that has lost blocks',
    make: (b) => [
      ...setExtent(b, 'other', 'startblock', b.agblocks - 100),
      ...setExtent(b, 'victim', 'blockcount', 4),
    ],
    // Six blocks are missing twice: whose are whose is not told.
    plain: ['free.leaked', 'free.leaked', 'inode.blocks /victim', 'mapping.free /other'],
  },
  {
    name: 'two files of one length onto free space',
    make: (b) => [
      ...setExtent(b, 'victim', 'startblock', b.agblocks - 100),
      ...setExtent(b, 'same', 'startblock', b.agblocks - 80),
    ],
  },
  {
    name: 'a file onto itself',
    make: (b) => setMany(b, 20, blockOf(b, 'many', 30)),
    rmap: ['duplicate.corrupt /many'],
    plain: ['duplicate.undecided', 'free.leaked'],
  },
  {
    name: 'a block of a file in btree format onto unflagged',
    make: (b) => setMany(b, 20, blockOf(b, 'victim') + 3),
    rmap: ['duplicate.corrupt /many'],
    plain: ['duplicate.corrupt /many'],
  },
  {
    name: 'a block of a file in btree format onto shared',
    make: (b) => setMany(b, 20, blockOf(b, 'a') + 1),
    rmap: ['duplicate.corrupt /many'],
    plain: ['duplicate.corrupt /many'],
  },
  {
    name: 'unflagged onto a block of a file in btree format',
    make: (b) => setExtent(b, 'other', 'startblock', blockOf(b, 'many', 10)),
  },
  {
    name: 'an unwritten claim onto unflagged',
    make: (b) => [
      ...setExtent(b, 'other', 'startblock', blockOf(b, 'victim')),
      ...setExtent(b, 'other', 'extentflag', 1),
    ],
  },
  {
    name: 'the first half of a file, of another length',
    make: (b) => [
      ...setExtent(b, 'other', 'startblock', blockOf(b, 'victim')),
      ...setExtent(b, 'other', 'blockcount', 5),
    ],
  },
  {
    name: 'a quarter of a file, from its middle on',
    make: (b) => [
      ...setExtent(b, 'other', 'startblock', blockOf(b, 'victim') + 5),
      ...setExtent(b, 'other', 'blockcount', 2),
    ],
  },
  {
    name: 'extent made shorter',
    make: (b) => setExtent(b, 'victim', 'blockcount', 4),
  },
  {
    name: 'data onto an attribute block',
    make: (b) => setExtent(b, 'tiny', 'startblock', b.attrBlock),
    rmap: ['duplicate.metadata /tiny'],
    plain: ['duplicate.metadata /tiny'],
  },
  {
    name: 'data onto the free list',
    make: (b) => setExtent(b, 'tiny', 'startblock', b.listed),
  },
  {
    name: 'data onto the root of a btree',
    make: (b) => setExtent(b, 'tiny', 'startblock', 1),
    rmap: ['duplicate.metadata /tiny'],
    plain: ['duplicate.metadata /tiny'],
  },
  {
    name: 'refcount records that overlap',
    make: (b) =>
      refcount(`write -d recs[1].blockcount ${Math.abs(blockOf(b, 'a') - blockOf(b, 'base')) + 2}`),
  },
  {
    name: 'a CoW staging record over free space, and one of sharing gone',
    make: (b) =>
      refcount(
        'write -d recs[3].cowflag 1',
        `write -d recs[3].startblock ${b.agblocks - 100}`,
        'write -d recs[3].blockcount 5',
        'write -d recs[3].refcount 1',
      ),
  },
  {
    name: 'all refcount records missing, and an unflagged file onto unflagged',
    make: (b) => [
      ...refcount('write -d numrecs 0'),
      ...setExtent(b, 'other', 'startblock', blockOf(b, 'victim')),
    ],
  },
  {
    name: 'all refcount records missing, and the flag of one of three',
    make: (b) => [...refcount('write -d numrecs 0'), ...setReflink(b, 'a', false)],
  },
  {
    name: 'a refcount too low, and an unflagged file onto the same blocks',
    make: (b) => [
      ...refcount(`write -d recs[${refcountRecord(b, 'a')}].refcount 2`),
      ...setExtent(b, 'tiny', 'startblock', blockOf(b, 'a')),
    ],
  },
];

export const RMAP_FORGERIES: Forgery[] = [
  {
    name: 'rmap record names another owner',
    make: (b) => [
      'agf 0',
      'addr rmaproot',
      `write -d recs[${rmapRecord(b, 'victim')}].owner ${b.ino.get('dir')}`,
    ],
    rmap: ['rmap.wrong /victim'],
    plain: [],
  },
  {
    name: 'rmap record names another offset',
    make: (b) => ['agf 0', 'addr rmaproot', `write -d recs[${rmapRecord(b, 'victim')}].offset 99`],
    rmap: ['rmap.wrong /victim'],
    plain: [],
  },
  {
    name: 'extent moved to an offset past the end of its file',
    make: (b) => setExtent(b, 'victim', 'startoff', 500),
    rmap: ['mapping.wrong /victim'],
    plain: [],
  },
  {
    name: 'extent written that the rmap btree calls unwritten',
    // Which of the two was changed cannot be told; unwritten is the word that shows nobody's bytes.
    loses: true,
    make: (b) => setExtent(b, 'victim', 'extentflag', 1),
    rmap: ['rmap.wrong /victim'],
    plain: [],
  },
];

RMAP_FORGERIES.push(
  {
    name: 'last rmap record missing',
    make: (b) => ['agf 0', 'addr rmaproot', `write -d numrecs ${b.rmapStarts.length - 1}`],
  },
  {
    name: 'all rmap records missing',
    make: () => ['agf 0', 'addr rmaproot', 'write -d numrecs 0'],
  },
  {
    name: 'both trees emptied',
    make: () => [...refcount('write -d numrecs 0'), 'agf 0', 'addr rmaproot', 'write -d numrecs 0'],
  },
  {
    name: 'rmap record of a file moved by one, onto blocks that two share',
    make: (b) => [
      'agf 0',
      'addr rmaproot',
      `write -d recs[${rmapRecord(b, 'tiny')}].startblock ${blockOf(b, 'tiny') + 1}`,
    ],
    rmap: ['rmap.missing /tiny', 'rmap.wrong'],
  },
  {
    name: 'rmap record of one of three sharers names a file with a hole there',
    // The third of the records that start there.
    make: (b) => [
      'agf 0',
      'addr rmaproot',
      `write -d recs[${rmapRecord(b, 'a') + 2}].owner ${b.ino.get('many')}`,
      `write -d recs[${rmapRecord(b, 'a') + 2}].offset 90`,
    ],
    rmap: ['rmap.wrong /c'],
  },
  {
    name: 'rmap record in the other fork',
    make: (b) => ['agf 0', 'addr rmaproot', `write -d recs[${rmapRecord(b, 'victim')}].attrfork 1`],
    rmap: ['rmap.wrong /victim'],
  },
);

/** Record of AG 0's rmap btree that starts at a file's first block, as xfs_db counts them. */
function rmapRecord(base: Base, file: string): number {
  const at = base.rmapStarts.indexOf(blockOf(base, file));
  assert.ok(at >= 0);
  return at + 1;
}
