/** Tables straight from the AG btrees: reference counts, reverse mappings, free space. */
import {
  RMAP_OWNER_NAME,
  refcountIsCow,
  refcountStart,
  rmapAttrFork,
  rmapBmbtBlock,
  rmapOffset,
  rmapOwner,
  rmapUnwritten,
} from '../format/btree.js';
import { walkRecords } from '../volume/check.js';
import type { Volume } from '../volume/volume.js';
import { type AgOptions, eachAg } from './ags.js';
import { any, bool, oneOf, optional, type RowSink, table, u64, uint } from './table.js';

const AGNO = uint('allocation group');
const AGBNO = uint('first block, counted from the start of the AG');
const BLOCKS = uint('length in blocks');

export const REFCOUNT = table('refcount', 'a run of blocks in the refcount btree', {
  agno: AGNO,
  agbno: AGBNO,
  blocks: BLOCKS,
  refcount: uint('owners of the run; 1 in the CoW domain'),
  domain: oneOf(['shared', 'cow'], 'shared: data of several files; cow: set aside for copy-on-write'),
});

export function dumpRefcount(volume: Volume, sink: RowSink, options: AgOptions = {}): void {
  const { num, text } = sink;
  const { at } = REFCOUNT;
  eachAg(volume, options, (agno, report) => {
    num[at.agno] = agno;
    walkRecords(
      volume,
      agno,
      'refcountbt',
      (v, p) => {
        num[at.agbno] = refcountStart(v, p);
        num[at.blocks] = v.getUint32(p + 4);
        num[at.refcount] = v.getUint32(p + 8);
        text[at.domain] = refcountIsCow(v, p) ? 'cow' : 'shared';
        sink.emit();
      },
      report,
    );
  });
}

export const RMAP = table('rmap', 'a run of blocks and its owner, from the rmap btree', {
  agno: AGNO,
  agbno: AGBNO,
  blocks: BLOCKS,
  owner: any('inode number, or what is no file: fs, log, ag, inobt, inodes, refcount, cow'),
  fork: optional(oneOf(['data', 'attr'], 'fork of the inode that owns the run')),
  offset: optional(u64('where the run begins in the fork, in blocks')),
  bmbt: bool('the run is part of the bmbt of the fork, not of its contents'),
  state: optional(oneOf(['norm', 'unwritten'], 'unwritten: allocated, and reads as zeros')),
});

export function dumpRmap(volume: Volume, sink: RowSink, options: AgOptions = {}): void {
  const { num, text } = sink;
  const { at } = RMAP;
  eachAg(volume, options, (agno, report) => {
    num[at.agno] = agno;
    walkRecords(
      volume,
      agno,
      'rmapbt',
      (v, p) => {
        const owner = rmapOwner(v, p);
        const mapping = owner >= 0 && !rmapBmbtBlock(v, p);
        num[at.agbno] = v.getUint32(p);
        num[at.blocks] = v.getUint32(p + 4);
        sink.any[at.owner] = owner >= 0 ? owner : (RMAP_OWNER_NAME[owner] ?? owner);
        text[at.fork] = owner < 0 ? null : rmapAttrFork(v, p) ? 'attr' : 'data';
        num[at.offset] = mapping ? rmapOffset(v, p) : Number.NaN;
        num[at.bmbt] = rmapBmbtBlock(v, p) ? 1 : 0;
        text[at.state] = !mapping ? null : rmapUnwritten(v, p) ? 'unwritten' : 'norm';
        sink.emit();
      },
      report,
    );
  });
}

export const FREE = table('free', 'a run of free blocks, from the free-space btrees', {
  agno: AGNO,
  agbno: AGBNO,
  blocks: BLOCKS,
});

export interface FreeOptions extends AgOptions {
  /** By length, as the cntbt has them, instead of by place. */
  readonly bySize?: boolean;
}

export function dumpFree(volume: Volume, sink: RowSink, options: FreeOptions = {}): void {
  const { num } = sink;
  const { at } = FREE;
  eachAg(volume, options, (agno, report) => {
    num[at.agno] = agno;
    walkRecords(
      volume,
      agno,
      options.bySize ? 'cntbt' : 'bnobt',
      (v, p) => {
        num[at.agbno] = v.getUint32(p);
        num[at.blocks] = v.getUint32(p + 4);
        sink.emit();
      },
      report,
    );
  });
}
