/**
 * What the fuzzer damages: every field of the superblock, the AG headers, btree blocks of all kinds and inodes
 * of all shapes, found through their field tables on a healthy image.
 */
import { AG_SECTOR, AGF, AGFL, AGI } from '../../src/format/ag.js';
import {
  type AgBtreeName,
  BMDR_BLOCK,
  BTREES,
  type BtreeKind,
  keyAt,
  maxRootRecords,
  ptrAt,
  recordAt,
  recordOf,
} from '../../src/format/btree.js';
import { DINODE, DINODE_SIZE, dinodeLayout, FORK_FORMAT, S_IF } from '../../src/format/dinode.js';
import { BMBT_REC } from '../../src/format/extent.js';
import { blockOffset, inodeOffset } from '../../src/format/geometry.js';
import { type FieldType, type Structure, u32, u64 } from '../../src/format/structure.js';
import { SUPERBLOCK } from '../../src/format/superblock.js';
import { agTree, hasBtree, walkBlocks } from '../../src/volume/btree.js';
import { type ForkName, forkAt, forkFormat, forkSize, walkForkBlocks } from '../../src/volume/fork.js';
import { readInode } from '../../src/volume/inode.js';
import type { Volume } from '../../src/volume/volume.js';
import {
  forkPieces,
  inodePiece,
  type Piece,
  shortAttrFields,
  shortDirFields,
  some,
  symlinkPieces,
} from './pieces.js';

/** Where a checksum covers a target: bytes of the image, and the place of the CRC in them. */
export interface Seal {
  readonly offset: number;
  readonly length: number;
  readonly crcAt: number;
}

export type Look =
  | { readonly kind: 'sb'; readonly agno: number }
  | { readonly kind: 'ag'; readonly agno: number }
  | { readonly kind: 'inode'; readonly ino: number };

export interface Target {
  /** 'agf', 'rmapbt leaf', 'dinode file:extents300' ... */
  readonly structure: string;
  /** As faults name it: `startblock` of `recs[7].startblock`, `keys.startblock` of a node's keys. */
  readonly field: string;
  readonly type: FieldType;
  /** Byte of the image at which the field's structure begins (bit fields), or the field itself. */
  readonly offset: number;
  readonly seal: Seal;
  /** What is read after the damage. */
  readonly look: Look;
}

type Base = Omit<Target, 'field' | 'type' | 'offset'>;

function* fields(of: Structure, at: number, base: Base): Generator<Target> {
  for (const { name, type, offset } of of.fields) {
    if (type.kind !== 'array') yield { ...base, field: name, type, offset: at + offset };
    else
      for (const i of some(type.count!))
        yield { ...base, field: `${name}[${i}]`, type: type.of!, offset: at + offset + i * type.of!.size };
  }
}

function* headers(volume: Volume, agno: number): Generator<Target> {
  const { g } = volume;
  const kinds = [
    ['sb', SUPERBLOCK],
    ['agf', AGF],
    ['agi', AGI],
    ['agfl', AGFL],
  ] as const;
  for (const [name, of] of kinds) {
    const offset = blockOffset(g, agno, 0) + AG_SECTOR[name] * g.sectsize;
    const seal = { offset, length: g.sectsize, crcAt: of.at.crc };
    const look: Look = { kind: name === 'sb' ? 'sb' : 'ag', agno };
    // The copies of the superblock matter less than the primary one.
    const base = { structure: name === 'sb' && agno > 0 ? 'sb copy' : name, seal, look };
    yield* fields(of as Structure, offset, base);
    if (name !== 'agfl') continue;
    const agf = volume.agf(agno);
    const first = agf.getUint32(AGF.at.flfirst);
    for (const i of some(agf.getUint32(AGF.at.flcount)))
      yield { ...base, field: 'bno', type: u32, offset: offset + AGFL.size + (first + i) * 4 };
  }
}

/** Fields of one btree block: its header, and three of its records, or of its keys and pointers. */
function* btreeBlock(
  volume: Volume,
  kind: BtreeKind,
  block: DataView,
  level: number,
  agno: number,
  agbno: number,
  look: Look,
): Generator<Target> {
  const { g } = volume;
  const offset = blockOffset(g, agno, agbno);
  const base: Base = {
    structure: `${kind.name} ${level === 0 ? 'leaf' : 'node'}`,
    seal: { offset, length: g.blocksize, crcAt: kind.header.fields.find((f) => f.name === 'crc')!.offset },
    look,
  };
  yield* fields(kind.header, offset, base);
  const numrecs = block.getUint16(6);
  for (const i of some(numrecs)) {
    if (level === 0) {
      yield* fields(recordOf(kind, g.features.sparseInodes), offset + recordAt(kind, i), base);
      continue;
    }
    for (const t of fields(kind.key, offset + keyAt(kind, i), base)) yield { ...t, field: `keys.${t.field}` };
    if (kind.overlapping)
      for (const t of fields(kind.key, offset + keyAt(kind, i) + kind.key.size, base))
        yield { ...t, field: `keys (high).${t.field}` };
    const type = kind.long ? u64 : u32;
    yield { ...base, field: 'ptrs', type, offset: offset + ptrAt(kind, g.blocksize, i) };
  }
}

/** Two blocks of each level of each tree. */
function* agTrees(volume: Volume, agno: number): Generator<Target> {
  for (const name of Object.keys(BTREES) as (AgBtreeName | 'bmbt')[]) {
    if (name === 'bmbt' || !hasBtree(volume.g, name)) continue;
    const perLevel = new Map<number, number>();
    const found: Target[] = [];
    walkBlocks(volume, agTree(volume, agno, name), (block, level, _agno, agbno) => {
      const n = (perLevel.get(level) ?? 0) + 1;
      perLevel.set(level, n);
      if (n > 2) return;
      found.push(...btreeBlock(volume, BTREES[name], block, level, agno, agbno, { kind: 'ag', agno }));
    });
    yield* found;
  }
}

/** An inode's core, its extents or the root of its bmbt, and one block of that. */
function* inodeFields(volume: Volume, ino: number, note: string): Generator<Target> {
  const { g } = volume;
  const inode = readInode(volume, ino);
  const offset = inodeOffset(g, ino);
  const look = { kind: 'inode', ino } as const;
  const base: Base = {
    structure: `dinode ${note}`,
    seal: { offset, length: g.inodesize, crcAt: DINODE.at.crc },
    look,
  };
  yield* fields(dinodeLayout(inode.view, inode.base) as Structure, offset, base);
  for (const fork of ['data', 'attr'] as ForkName[]) {
    if (fork === 'attr' && !inode.hasAttrFork) continue;
    const at = offset + DINODE_SIZE + forkAt(inode, fork) - inode.dataAt;
    const of: Base = { ...base, structure: `${fork} fork ${note}` };
    if (forkFormat(inode, fork) === FORK_FORMAT.EXTENTS) {
      const n = fork === 'data' ? inode.nextents : inode.naextents;
      for (const i of some(n)) yield* fields(BMBT_REC, at + i * BMBT_REC.size, of);
    } else if (forkFormat(inode, fork) === FORK_FORMAT.BTREE) {
      yield* fields(BMDR_BLOCK, at, of);
      const max = maxRootRecords(forkSize(inode, fork));
      const numrecs = inode.view.getUint16(forkAt(inode, fork) + BMDR_BLOCK.at.numrecs);
      for (const i of some(numrecs)) {
        yield { ...of, field: 'keys', type: u64, offset: at + BMDR_BLOCK.size + i * 8 };
        yield { ...of, field: 'ptrs', type: u64, offset: at + BMDR_BLOCK.size + (max + i) * 8 };
      }
      const found: Target[] = [];
      const perLevel = new Set<number>();
      walkForkBlocks(volume, inode, fork, (agno, agbno, level, block) => {
        if (perLevel.has(level)) return;
        perLevel.add(level);
        found.push(...btreeBlock(volume, BTREES.bmbt, block, level, agno, agbno, look));
      });
      yield* found;
    }
  }
}

/** Every target of a healthy image. `inodes`: notes and numbers of the inodes to damage. */
export function targets(volume: Volume, agno: number, inodes: ReadonlyMap<string, number>): Target[] {
  const out: Target[] = [...headers(volume, agno), ...agTrees(volume, agno)];
  if (agno !== 0) out.push(...[...headers(volume, 0)].filter((t) => t.structure === 'sb'));
  for (const [note, ino] of inodes) out.push(...inodeFields(volume, ino, note));
  return out;
}

/** The fields of a file's directory, attributes or target, as they stand in its inode or in blocks. */
function* nameFields(volume: Volume, ino: number, note: string): Generator<Target> {
  const inode = readInode(volume, ino);
  const pieces: [string, Piece][] = [];
  const add = (structure: string, list: readonly Piece[]): void => {
    for (const piece of list) pieces.push([structure, piece]);
  };
  if (inode.isDir) {
    if (inode.format === FORK_FORMAT.LOCAL)
      add('short dir', [inodePiece(volume, inode, shortDirFields(inode))]);
    else add('dir', forkPieces(volume, inode, 'data'));
  } else if (inode.type === S_IF.LNK && inode.format !== FORK_FORMAT.LOCAL)
    add('symlink', symlinkPieces(volume, inode));
  if (inode.hasAttrFork) {
    if (inode.aformat === FORK_FORMAT.LOCAL)
      add('short attr', [inodePiece(volume, inode, shortAttrFields(inode))]);
    else add('attr', forkPieces(volume, inode, 'attr'));
  }
  for (const [kind, { offset, bytes, crcAt, fields, what }] of pieces) {
    const seal = { offset, length: bytes.length, crcAt };
    const base: Base = { structure: `${kind} ${note}`, seal, look: { kind: 'inode', ino } };
    for (const f of fields) {
      const field = what === 'inode' ? f.name : `${what} ${f.name}`;
      yield { ...base, field, type: f.type, offset: offset + f.at };
    }
  }
}

/** What `targets` gives, of every AG, and the fields of directories, attributes and links besides. */
export function allTargets(volume: Volume, inodes: ReadonlyMap<string, number>): Target[] {
  const out: Target[] = [];
  for (let agno = 0; agno < volume.g.agcount; agno++)
    out.push(...headers(volume, agno), ...agTrees(volume, agno));
  for (const [note, ino] of inodes)
    out.push(...inodeFields(volume, ino, note), ...nameFields(volume, ino, note));
  return out;
}
