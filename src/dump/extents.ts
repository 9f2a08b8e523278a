/** Extents of files, and which of them are shared. */
import { DIFLAG2, FORK_FORMAT } from '../format/dinode.js';
import { CorruptionError, type Report } from '../format/fault.js';
import { agbnoOfFsblock, agnoOfFsblock, fsblockOf } from '../format/geometry.js';
import { type ForkName, walkExtents } from '../volume/fork.js';
import { type Inode, readInode, verifyInode, walkInodes } from '../volume/inode.js';
import { Refcounts } from '../volume/refcounts.js';
import type { Volume } from '../volume/volume.js';
import { oneOf, optional, type RowSink, table, text, u64, uint } from './table.js';

export const EXTENTS = table('extents', 'a run of blocks of a fork, cut where its number of owners changes', {
  ino: uint('inode number'),
  fork: oneOf(['data', 'attr'], 'fork of the inode'),
  offset: u64('where the run begins in the fork, in blocks'),
  fsblock: uint('first block: agno * 2^agblklog + agbno'),
  agno: uint('allocation group'),
  agbno: uint('first block, counted from the start of the AG'),
  blocks: uint('length in blocks'),
  state: oneOf(['norm', 'unwritten'], 'unwritten: allocated, and reads as zeros'),
  shared: uint("owners, by the refcount btree; 1 without asking it where the inode's reflink flag is off"),
});

export interface ExtentOptions {
  /** These inodes instead of all in use. */
  readonly inos?: readonly number[];
  readonly agno?: number;
  readonly fork?: ForkName;
  /** Only runs with more than one owner. */
  readonly sharedOnly?: boolean;
  readonly report?: Report;
}

const hasExtents = (inode: Inode): boolean => {
  const { format } = inode;
  if (format === FORK_FORMAT.EXTENTS || format === FORK_FORMAT.BTREE) return true;
  return inode.hasAttrFork && inode.aformat !== FORK_FORMAT.LOCAL;
};

/**
 * Emits the extents of the inodes given, or of every inode in number order. Inodes that do not verify are
 * reported and left out. Memory: the refcount records of the AGs that flagged inodes lie in.
 */
export function dumpExtents(volume: Volume, sink: RowSink, options: ExtentOptions = {}): void {
  const { g } = volume;
  const { num, text } = sink;
  const { at } = EXTENTS;
  const report = options.report ?? volume.report;
  const refcounts = new Refcounts(volume, report);
  const agShift = 2 ** g.agblklog;
  let fork: ForkName = 'data';
  let flagged = false;
  /** Of the extent that is being cut. */
  let offset = 0;
  let first = 0;

  const emit = (agbno: number, blocks: number, owners: number): void => {
    if (options.sharedOnly === true && owners < 2) return;
    num[at.offset] = offset + (agbno - first);
    num[at.fsblock] = num[at.agno] * agShift + agbno;
    num[at.agbno] = agbno;
    num[at.blocks] = blocks;
    num[at.shared] = owners;
    sink.emit();
  };
  const extent = (from: number, fsblock: number, blocks: number, unwritten: boolean): void => {
    const agno = Math.floor(fsblock / agShift);
    offset = from;
    first = fsblock - agno * agShift;
    num[at.agno] = agno;
    text[at.state] = unwritten ? 'unwritten' : 'norm';
    if (flagged && fork === 'data') refcounts.split(agno, first, blocks, emit);
    else emit(first, blocks, 1);
  };
  const inode = (of: Inode): void => {
    num[at.ino] = of.ino;
    flagged = of.isReflink;
    for (fork of options.fork === undefined ? (['data', 'attr'] as const) : [options.fork]) {
      text[at.fork] = fork;
      walkExtents(volume, of, fork, extent, report);
    }
  };

  if (options.inos !== undefined) {
    for (const ino of options.inos) {
      try {
        inode(readInode(volume, ino));
      } catch (error) {
        if (!(error instanceof CorruptionError)) throw error;
        report(error.fault);
      }
    }
    return;
  }
  walkInodes(
    volume,
    (of) => {
      if (verifyInode(g, of, true, report) && hasExtents(of)) inode(of);
    },
    { agno: options.agno, report },
  );
}

const SHARED_COLUMNS = {
  agno: uint('allocation group'),
  agbno: uint('first block, counted from the start of the AG'),
  blocks: uint('length in blocks'),
  owners: uint('owners of the run, by the refcount btree'),
  ino: uint('inode that maps the run'),
  offset: u64('where the run begins in the file, in blocks'),
};

export const SHARED = table('shared', 'a run of shared blocks and one of its owners', SHARED_COLUMNS);

export const SHARED_PATHS = table('shared', SHARED.about, {
  ...SHARED_COLUMNS,
  path: optional(text('a path of the inode')),
});

/** One claim of a file on part of a shared run, in columns that grow. */
class Claims {
  #capacity = 1024;
  count = 0;
  fsblock = new Float64Array(1024);
  blocks = new Uint32Array(1024);
  owners = new Uint32Array(1024);
  ino = new Float64Array(1024);
  offset = new Float64Array(1024);

  add(fsblock: number, blocks: number, owners: number, ino: number, offset: number): void {
    if (this.count === this.#capacity) this.#grow();
    const i = this.count++;
    this.fsblock[i] = fsblock;
    this.blocks[i] = blocks;
    this.owners[i] = owners;
    this.ino[i] = ino;
    this.offset[i] = offset;
  }

  #grow(): void {
    this.#capacity *= 2;
    const more = <T extends Float64Array | Uint32Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.fsblock = more(this.fsblock, new Float64Array(this.#capacity));
    this.blocks = more(this.blocks, new Uint32Array(this.#capacity));
    this.owners = more(this.owners, new Uint32Array(this.#capacity));
    this.ino = more(this.ino, new Float64Array(this.#capacity));
    this.offset = more(this.offset, new Float64Array(this.#capacity));
  }
}

export interface SharedOptions {
  readonly agno?: number;
  readonly report?: Report;
  /** A path of an inode, for the table with paths. */
  readonly pathOf?: (ino: number) => string | null;
}

/**
 * Emits each shared run with its owners, ordered by place: one row for every file that maps a part of a run,
 * with that part. Where the claims of flagged files do not add up to the refcount record, that is reported.
 * Memory: 36 bytes a claim, the only table that is not streamed, for its order is not the inodes'.
 */
export function dumpShared(volume: Volume, sink: RowSink, options: SharedOptions = {}): void {
  const { g } = volume;
  const report = options.report ?? volume.report;
  const refcounts = new Refcounts(volume, report);
  const claims = new Claims();
  /** Blocks claimed so far of each record of an AG. */
  const claimed = new Map<number, Float64Array>();
  const claimedOf = (agno: number): Float64Array => {
    let list = claimed.get(agno);
    if (list === undefined) {
      list = new Float64Array(refcounts.ag(agno).count);
      claimed.set(agno, list);
    }
    return list;
  };
  if (g.features.reflink)
    walkInodes(
      volume,
      (inode) => {
        if ((inode.flags2 & DIFLAG2.REFLINK) === 0 || !verifyInode(g, inode, true, report)) return;
        walkExtents(
          volume,
          inode,
          'data',
          (offset, fsblock, blocks) => {
            const agno = agnoOfFsblock(g, fsblock);
            const start = agbnoOfFsblock(g, fsblock);
            if (options.agno !== undefined && options.agno !== agno) return;
            refcounts.split(agno, start, blocks, (agbno, n, owners, record) => {
              if (record < 0) return;
              claimedOf(agno)[record] += n;
              claims.add(fsblockOf(g, agno, agbno), n, owners, inode.ino, offset + agbno - start);
            });
          },
          report,
        );
      },
      { report },
    );
  emitClaims(volume, sink, claims, options);
  const from = options.agno ?? 0;
  const to = options.agno ?? g.agcount - 1;
  for (let agno = from; agno <= to && g.features.reflink; agno++) {
    const ag = refcounts.ag(agno);
    const list = claimedOf(agno);
    for (let i = 0; i < ag.count; i++)
      if (list[i] !== ag.refcount[i] * ag.blocks[i])
        report({
          structure: 'refcountbt',
          agno,
          field: `record of block ${ag.start[i]}: refcount`,
          value: ag.refcount[i],
          expected: `${list[i] / ag.blocks[i]}, by what flagged files map of its ${ag.blocks[i]} blocks`,
        });
  }
}

function emitClaims(volume: Volume, sink: RowSink, claims: Claims, options: SharedOptions): void {
  const { g } = volume;
  const { num } = sink;
  const { at } = SHARED_PATHS;
  const order = new Uint32Array(claims.count);
  for (let i = 0; i < order.length; i++) order[i] = i;
  order.sort(
    (a, b) =>
      claims.fsblock[a] - claims.fsblock[b] ||
      claims.ino[a] - claims.ino[b] ||
      claims.offset[a] - claims.offset[b],
  );
  for (const i of order) {
    num[at.agno] = agnoOfFsblock(g, claims.fsblock[i]);
    num[at.agbno] = agbnoOfFsblock(g, claims.fsblock[i]);
    num[at.blocks] = claims.blocks[i];
    num[at.owners] = claims.owners[i];
    num[at.ino] = claims.ino[i];
    num[at.offset] = claims.offset[i];
    if (options.pathOf !== undefined) sink.text[at.path] = options.pathOf(claims.ino[i]);
    sink.emit();
  }
}
