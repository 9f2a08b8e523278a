/** Damages whose repair is cut: of every kind of structure, several at once, with a dirty log, forged. */
import { readFileSync } from 'node:fs';
import { OverlaySource } from '../../../src/image/overlay.js';
import { changed, random, type Verb } from '../../fuzz/verbs.js';
import { forge, makeBase } from '../../repair/base.js';
import { FORGERIES } from '../../repair/forgeries.js';
import { blockCases, type Case, logCases, multiCases } from './cases.js';
import { type BaseImage, baseImage, crashedImage, imageAt } from './images.js';

export interface CutCase {
  readonly id: string;
  readonly image: BaseImage;
  readonly writes: Case['writes'];
  readonly dropLog: boolean;
}

/** structure / field / verb, several of them with ' + ' between. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  'k1-rmap': [
    'bnobt leaf/startblock/add',
    'inobt leaf/magic/zeroes + finobt leaf/magic/zeroes',
    'rmapbt leaf/owner/random',
    'bmbt leaf/blockcount/add',
    'dir dir:560 data block 0/dhdr.hdr.owner/random',
    'sb/rootino/ones',
  ],
  k1: [
    'cntbt leaf/blockcount/random',
    'inobt leaf/numrecs/sub + finobt leaf/numrecs/sub',
    'refcountbt leaf/refcount/ones',
    'data fork file:extents300/ptrs/random',
    'dinode dir:200/mode/zeroes',
    'attr attr:node attr block 0/hdr.info.hdr.magic/zeroes',
    'agi/root/ones',
  ],
  'k4-rmap': [
    'agf/flcount/ones + agi/level/add',
    'refcountbt leaf/startblock/add',
    'dinode attr:remote/aformat/random',
    'symlink symlink:700 target 0/magic/zeroes',
    'sb copy/dblocks/random',
  ],
  k4: [
    'agf/bnoroot/random',
    'short dir dir:4/list[0].inumber/random',
    'dinode hardlink/nlinkv2/add',
    'data fork shared:base/startblock/lastbit',
  ],
};

/** Damages of several fields at once, and of whole blocks, for each image. */
const EACH = 3;

const FORGED = [
  'unflagged onto unflagged, of another length',
  'two files with their blocks swapped',
  'data onto a directory block',
  'all refcount records missing',
];

/** The bytes that damages named as in FIELDS leave. */
function fieldWrites(image: BaseImage, text: string): Case['writes'] {
  const overlay = new OverlaySource(image.source);
  const writes = new Map<number, Uint8Array>();
  for (const one of text.split(' + ')) {
    const [structure, field, verb] = one.split('/');
    // A directory's fields are named by the block they stand in, too.
    const target = image.targets.find((t) => `${t.structure} ${t.field}` === `${structure} ${field}`);
    if (target === undefined) throw new Error(`${image.name}: no field ${one}`);
    const bytes = changed(overlay, target, verb as Verb, random(7));
    if (bytes === undefined) throw new Error(`${image.name}: ${one} changes nothing`);
    overlay.write(target.seal.offset, bytes);
    writes.set(target.seal.offset, bytes);
  }
  return [...writes].map(([offset, bytes]) => ({ offset, bytes }));
}

/** What stands otherwise in another file of the same size. */
function differences(image: BaseImage, path: string): Case['writes'] {
  const bytes = readFileSync(path);
  const writes: { offset: number; bytes: Uint8Array }[] = [];
  for (let at = 0; at < bytes.length; at += 4096)
    if (bytes.compare(image.bytes, at, at + 4096, at, at + 4096) !== 0)
      writes.push({ offset: at, bytes: bytes.subarray(at, at + 4096) });
  return writes;
}

export function* cutCases(wanted: RegExp): Generator<CutCase> {
  const of = (id: string, image: BaseImage, writes: Case['writes'], dropLog = false): CutCase => ({
    id,
    image,
    writes,
    dropLog,
  });
  for (const [name, fields] of Object.entries(FIELDS)) {
    const ids = [...fields, 'multi', 'blocks', 'dirty', 'dropped'];
    if (!ids.some((id) => wanted.test(`${name}: ${id}`))) continue;
    const image = baseImage(name);
    for (const text of fields)
      if (wanted.test(`${name}: ${text}`)) yield of(`${name}: ${text}`, image, fieldWrites(image, text));
    for (const [kind, cases] of [
      ['multi', multiCases([image], 21, /./)],
      ['blocks', blockCases([image], 21)],
    ] as const)
      for (let n = 0; n < EACH && wanted.test(`${name}: ${kind}`); n++)
        yield of(`${name}: ${kind} ${n}`, image, cases.next().value.writes);
    if (!wanted.test(`${name}: dirty`) && !wanted.test(`${name}: dropped`)) continue;
    const dirty = crashedImage(image);
    const many = multiCases([dirty], 33, /leaf|agf|agi|dinode/);
    if (wanted.test(`${name}: dirty`)) {
      yield of(`${name}: dirty, one field`, dirty, fieldWrites(dirty, fields[0]));
      for (let n = 0; n < 3; n++) yield of(`${name}: dirty, many ${n}`, dirty, many.next().value.writes);
    }
    if (wanted.test(`${name}: dropped`))
      yield of(`${name}: dropped`, dirty, logCases([dirty], 5, /leaf/).next().value.writes, true);
  }
  for (const rmapbt of [true, false]) {
    const name = `forged ${rmapbt ? 'with' : 'without'} rmapbt`;
    const chosen = FORGERIES.filter(
      (f) => FORGED.includes(f.name) && (rmapbt || f.plain?.length !== 0),
    ).filter((f) => wanted.test(`${name}: ${f.name}`));
    if (chosen.length === 0) continue;
    const base = makeBase(rmapbt);
    const image = imageAt(name, base.image);
    for (const forgery of chosen)
      yield of(`${name}: ${forgery.name}`, image, differences(image, forge(base, forgery.make(base))));
  }
}
