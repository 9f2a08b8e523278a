/** The damages of the repair campaign: one field, several at once, whole blocks. */

import { fsblockOffset } from '../../../src/format/geometry.js';
import { BBSIZE } from '../../../src/format/log.js';
import { OverlaySource } from '../../../src/image/overlay.js';
import type { Source } from '../../../src/image/source.js';
import { scanLog } from '../../../src/journal/scan.js';
import { CLAIM } from '../../../src/repair/observe/columns.js';
import { observe } from '../../../src/repair/observe/observe.js';
import { openVolume } from '../../../src/volume/volume.js';
import { changed, random, VERBS, type Verb } from '../../fuzz/verbs.js';
import type { BaseImage } from './images.js';

/** A damage that can be made again: the same seed, mode and number give the same. */
export interface Case {
  /** 'k4-rmap/agf/flcount/ones', with '/crc' where the checksum is left wrong; 'k4/multi/17' ... */
  readonly id: string;
  readonly image: string;
  /** By which the summary counts: 'agf', 'rmapbt leaf', 'multi' ... */
  readonly structure: string;
  readonly writes: readonly { offset: number; bytes: Uint8Array }[];
}

/** Without the shape of file that stands behind it: 'dinode', 'dir'. */
const kindOf = (structure: string): string =>
  structure.replace(/^(dinode|data fork|attr fork|short dir|dir|short attr|attr|symlink) .*/, '$1');

/** FNV-1a: a seed of its own for each case, whatever else is chosen. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return h;
}

interface FieldCase {
  readonly image: BaseImage;
  readonly target: number;
  readonly verb: Verb;
  readonly seal: boolean;
}

/**
 * Every change of every field, in an order of chance, one structure after the other, so that a few cases are of
 * all structures alike. `structures` picks by name.
 */
export function* fieldCases(images: readonly BaseImage[], seed: number, structures: RegExp): Generator<Case> {
  const byKind = new Map<string, FieldCase[]>();
  for (const image of images)
    image.targets.forEach((t, target) => {
      if (!structures.test(t.structure)) return;
      const kind = kindOf(t.structure);
      const list = byKind.get(kind) ?? [];
      byKind.set(kind, list);
      for (const verb of VERBS) list.push({ image, target, verb, seal: true });
      list.push({ image, target, verb: 'random', seal: false });
    });
  const next = random(seed);
  for (const list of byKind.values())
    for (let i = list.length - 1; i > 0; i--) {
      const k = next() % (i + 1);
      [list[i], list[k]] = [list[k], list[i]];
    }
  const lists = [...byKind.values()];
  const most = Math.max(0, ...lists.map((list) => list.length));
  const all: FieldCase[] = [];
  for (let i = 0; i < most; i++) for (const list of lists) if (i < list.length) all.push(list[i]);
  const count = new Map<string, number>();
  for (const { image, target, verb, seal } of all) {
    const t = image.targets[target];
    const name = `${image.name}/${t.structure}/${t.field}/${verb}${seal ? '' : '/crc'}`;
    const bytes = changed(image.source, t, verb, random(hash(`${seed} ${name} ${t.offset}`)), seal);
    if (bytes === undefined) continue;
    // Blocks of one kind have the same names: their number tells them apart.
    const n = (count.get(name) ?? 0) + 1;
    count.set(name, n);
    const id = n === 1 ? name : `${name}#${n}`;
    const writes = [{ offset: t.seal.offset, bytes }];
    yield { id, image: image.name, structure: kindOf(t.structure), writes };
  }
}

/** 3 to 20 changes of fields in one image. */
export function* multiCases(images: readonly BaseImage[], seed: number, structures: RegExp): Generator<Case> {
  for (let n = 0; ; n++) {
    const image = images[n % images.length];
    const next = random(hash(`multi ${seed} ${n}`));
    const targets = image.targets.filter((t) => structures.test(t.structure));
    const overlay = new OverlaySource(image.source);
    const offsets = new Map<number, number>();
    for (let left = 3 + (next() % 18); left > 0; left--) {
      const t = targets[next() % targets.length];
      const bytes = changed(overlay, t, VERBS[next() % VERBS.length], next, next() % 5 > 0);
      if (bytes === undefined) continue;
      overlay.write(t.seal.offset, bytes);
      offsets.set(t.seal.offset, t.seal.length);
    }
    const writes = [...offsets].map(([offset, length]) => ({
      offset,
      bytes: readAt(overlay, offset, length),
    }));
    yield { id: `${image.name}/multi/${seed}.${n}`, image: image.name, structure: 'multi', writes };
  }
}

/** One to three whole blocks of metadata zeroed, filled with noise, or swapped with another. */
export function* blockCases(images: readonly BaseImage[], seed: number): Generator<Case> {
  const blocks = images.map((image) => metadataBlocks(image.source));
  for (let n = 0; ; n++) {
    const image = images[n % images.length];
    const own = blocks[n % images.length];
    const next = random(hash(`blocks ${seed} ${n}`));
    const writes: { offset: number; bytes: Uint8Array }[] = [];
    const size = own.blocksize;
    const how = ['zeroed', 'noise', 'swapped'][next() % 3];
    for (let left = 1 + (next() % 3); left > 0; left--) {
      const offset = own.offsets[next() % own.offsets.length];
      const bytes = new Uint8Array(size);
      if (how === 'noise') for (let i = 0; i < size; i++) bytes[i] = next();
      if (how === 'swapped') {
        const other = own.offsets[next() % own.offsets.length];
        image.source.read(other, bytes);
        writes.push({ offset: other, bytes: readAt(image.source, offset, size) });
      }
      writes.push({ offset, bytes });
    }
    const id = `${image.name}/blocks/${seed}.${n} ${how}`;
    yield { id, image: image.name, structure: `blocks ${how}`, writes };
  }
}

/**
 * Crashed images whose log is damaged in what it has to replay, and one field beside it: one to three sectors of the
 * log zeroed, filled with noise, a bit of them changed, or put in place of another.
 */
export function* logCases(images: readonly BaseImage[], seed: number, structures: RegExp): Generator<Case> {
  const logs = images.map(({ source }) => {
    const { g } = openVolume(source);
    const { tail, head } = scanLog(source, g);
    const blocks = (g.logblocks * g.blocksize) / BBSIZE;
    const used = (head.block - tail.block + blocks) % blocks;
    return { at: (n: number) => fsblockOffset(g, g.logstart) + ((tail.block + n) % blocks) * BBSIZE, used };
  });
  for (let n = 0; ; n++) {
    const image = images[n % images.length];
    const { at, used } = logs[n % images.length];
    const next = random(hash(`log ${seed} ${n}`));
    const overlay = new OverlaySource(image.source);
    const writes = new Map<number, number>();
    const how = ['zeroed', 'noise', 'bit', 'other'][next() % 4];
    for (let left = 1 + (next() % 3); left > 0; left--) {
      const offset = at(next() % used);
      const bytes = readAt(overlay, how === 'other' ? at(next() % used) : offset, BBSIZE);
      if (how === 'zeroed') bytes.fill(0);
      if (how === 'noise') for (let i = 0; i < BBSIZE; i++) bytes[i] = next();
      if (how === 'bit') bytes[next() % BBSIZE] ^= 1 << (next() % 8);
      overlay.write(offset, bytes);
      writes.set(offset, BBSIZE);
    }
    const targets = image.targets.filter((t) => structures.test(t.structure));
    const t = targets[next() % targets.length];
    const bytes = changed(overlay, t, VERBS[next() % VERBS.length], next);
    if (bytes !== undefined) {
      overlay.write(t.seal.offset, bytes);
      writes.set(t.seal.offset, bytes.length);
    }
    const id = `${image.name}/log/${seed}.${n} ${how}`;
    const all = [...writes].map(([offset, length]) => ({ offset, bytes: readAt(overlay, offset, length) }));
    yield { id, image: image.name, structure: `log ${how}`, writes: all };
  }
}

function readAt(source: Source, offset: number, length: number): Uint8Array {
  const b = new Uint8Array(length);
  source.read(offset, b);
  return b;
}

/** The log is a case of its own, and most of the space. */
const LOG = -4;

/** Byte offset of every metadata block but the log's. */
export function metadataBlocks(source: Source): { offsets: number[]; blocksize: number } {
  const volume = openVolume(source);
  const { g } = volume;
  const offsets: number[] = [];
  for (const { agno, claims } of observe(volume).ags)
    for (let i = 0; i < claims.count; i++) {
      const own = claims.owner[i] < 0 && claims.owner[i] !== LOG;
      if (!own && !(claims.info[i] & (CLAIM.ATTR | CLAIM.BMBT | CLAIM.DIR | CLAIM.SYMLINK))) continue;
      for (let b = 0; b < Math.min(claims.blocks[i], 40); b++)
        offsets.push((agno * g.agblocks + claims.start[i] + b) * g.blocksize);
    }
  return { offsets, blocksize: g.blocksize };
}
