/**
 * The superblock found: the primary one where it can be believed, else what its copies say, else whatever
 * superblock a search of the image turns up.
 *
 * Geometry and features stand in the first sector of every AG alike, so they are put to the vote. A candidate
 * counts by how many AG headers stand where it says they stand, then by the number of copies that say the
 * same. What only the primary one keeps (counters, quota, the root's number) is taken from it where it can be
 * true, and set right by what it points at otherwise.
 */
import { AG_SECTOR, AGF, AGI, XFS_AGF_MAGIC, XFS_AGI_MAGIC } from '../format/ag.js';
import { sealCrc } from '../format/checksum.js';
import { describeFault, type Fault, hex } from '../format/fault.js';
import { INCOMPAT } from '../format/features.js';
import { agLength, type Geometry, geometryOf } from '../format/geometry.js';
import { getU64, viewOf } from '../format/structure.js';
import {
  SUPERBLOCK,
  unsupportedFeatures,
  VERSION_BITS,
  verifySuperblock,
  XFS_SB_MAGIC,
} from '../format/superblock.js';
import type { Source } from '../image/source.js';
import type { Finding } from './finding.js';
import { endOfFields, settlePointers } from './pointers.js';

const AT = SUPERBLOCK.at;
type FieldName = keyof typeof AT;

/** Fields that say the same in every copy, for the whole life of a filesystem of one size. */
const VOTED = [
  'magicnum',
  'blocksize',
  'dblocks',
  'rblocks',
  'rextents',
  'uuid',
  'logstart',
  'rextsize',
  'agblocks',
  'agcount',
  'rbmblocks',
  'logblocks',
  'versionnum',
  'sectsize',
  'inodesize',
  'inopblock',
  'blocklog',
  'sectlog',
  'inodelog',
  'inopblog',
  'agblklog',
  'rextslog',
  'inoalignmt',
  'dirblklog',
  'logsectlog',
  'logsectsize',
  'logsunit',
  'features2',
  'bad_features2',
  'features_compat',
  'features_ro_compat',
  'features_incompat',
  'spino_align',
  'meta_uuid',
] as const satisfies readonly FieldName[];

/** Set in the primary one alone: at the first attribute, while quotas are on, while a repair is under way. */
const OWN_VERSION_BITS = VERSION_BITS.ATTR | VERSION_BITS.QUOTA;
const OWN_INCOMPAT = INCOMPAT.NEEDSREPAIR;

const SIZE = new Map(SUPERBLOCK.fields.map((f) => [f.name, f.type.size]));

/** A field's bytes as hex, bits that the primary one has for itself left out. */
export function fieldText(sector: Uint8Array, name: FieldName): string {
  const v = viewOf(sector);
  if (name === 'versionnum') return hex(v.getUint16(AT.versionnum) & ~OWN_VERSION_BITS);
  if (name === 'features_incompat') return hex((v.getUint32(AT.features_incompat) & ~OWN_INCOMPAT) >>> 0);
  const at = AT[name];
  return `0x${Buffer.from(sector.subarray(at, at + SIZE.get(name)!)).toString('hex')}`;
}

/** Fields among those that are alike everywhere in which two superblocks differ. */
export function differingFields(a: Uint8Array, b: Uint8Array): FieldName[] {
  return VOTED.filter((name) => fieldText(a, name) !== fieldText(b, name));
}

interface Candidate {
  readonly sector: Uint8Array;
  readonly primary: boolean;
  readonly key: string;
}

/** Most AGs whose headers and copies are asked: they are spread over the whole filesystem. */
const SAMPLE = 64;

function* sample(count: number): Generator<number> {
  const step = Math.max(1, Math.floor(count / SAMPLE));
  for (let agno = 0; agno < count; agno += step) yield agno;
}

function readAt(source: Source, offset: number, length: number): Uint8Array | undefined {
  if (offset < 0 || offset + length > source.size) return undefined;
  const b = new Uint8Array(length);
  source.read(offset, b);
  return b;
}

/** The superblock at a byte of the image, or undefined where none verifies there. */
function candidateAt(source: Source, offset: number): Candidate | undefined {
  const head = readAt(source, offset, 512);
  if (head === undefined || viewOf(head).getUint32(0) !== XFS_SB_MAGIC) return undefined;
  const sectsize = viewOf(head).getUint16(AT.sectsize);
  if (sectsize < 512 || sectsize > 32768) return undefined;
  const sector = readAt(source, offset, sectsize);
  if (sector === undefined) return undefined;
  let ok = true;
  verifySuperblock(sector, { agno: offset === 0 ? 0 : 1 }, () => {
    ok = false;
  });
  if (!ok || unsupportedFeatures(sector).length > 0) return undefined;
  const { dblocks, blocksize } = geometryOf(sector);
  if (dblocks * blocksize > source.size) return undefined;
  const key = VOTED.map((name) => fieldText(sector, name)).join();
  return { sector, primary: offset === 0, key };
}

/** Share of the AGs asked whose AGF and AGI stand where a superblock says. */
function fit(source: Source, sector: Uint8Array): number {
  const g = geometryOf(sector);
  let asked = 0;
  let found = 0;
  for (const agno of sample(g.agcount)) {
    asked += 2;
    for (const [which, magic, at] of [
      ['agf', XFS_AGF_MAGIC, AGF.at],
      ['agi', XFS_AGI_MAGIC, AGI.at],
    ] as const) {
      const b = readAt(source, agno * g.agblocks * g.blocksize + AG_SECTOR[which] * g.sectsize, g.sectsize);
      if (b === undefined) continue;
      const v = viewOf(b);
      const same = g.metaUuidBytes.every((byte, i) => b[at.uuid + i] === byte);
      if (
        v.getUint32(0) === magic &&
        same &&
        v.getUint32(at.seqno) === agno &&
        v.getUint32(at.length) === agLength(g, agno)
      )
        found++;
    }
  }
  return found / asked;
}

/** Superblocks where `geometry` says its copies stand. */
function copiesBy(source: Source, sector: Uint8Array): Candidate[] {
  const { agcount, agblocks, blocksize } = geometryOf(sector);
  const out: Candidate[] = [];
  for (const agno of sample(agcount)) {
    const c = agno === 0 ? undefined : candidateAt(source, agno * agblocks * blocksize);
    if (c !== undefined) out.push(c);
  }
  return out;
}

/** Bytes read at once when the image is searched. */
const CHUNK = 1 << 20;

/**
 * The first superblock, from AG 1 on, that stands where it says it stands: first where mkfs would put it in an
 * image of this size, then everywhere.
 */
function search(source: Source, raw: DataView): Candidate | undefined {
  const standsThere = (offset: number): Candidate | undefined => {
    const c = candidateAt(source, offset);
    if (c === undefined) return undefined;
    const { agcount, agblocks, blocksize } = geometryOf(c.sector);
    const agno = offset / (agblocks * blocksize);
    return Number.isInteger(agno) && agno > 0 && agno < agcount ? c : undefined;
  };
  // What is left of the primary one may still say where.
  const hint = raw.getUint32(AT.agblocks) * raw.getUint32(AT.blocksize);
  for (const offset of [hint, 2 * hint]) {
    const c = offset > 0 && offset % 512 === 0 ? standsThere(offset) : undefined;
    if (c !== undefined) return c;
  }
  for (const ags of [4, 32, 8, 2, 16]) {
    const offset = Math.ceil(source.size / 4096 / ags) * 4096;
    const c = standsThere(offset) ?? standsThere(Math.floor(source.size / 4096 / ags) * 4096);
    if (c !== undefined) return c;
  }
  const chunk = Buffer.alloc(CHUNK);
  const magic = Buffer.from('XFSB');
  for (let at = 0; at < source.size; at += CHUNK) {
    const length = Math.min(CHUNK, source.size - at);
    source.read(at, chunk.subarray(0, length));
    for (let i = chunk.indexOf(magic); i >= 0 && i < length; i = chunk.indexOf(magic, i + 1)) {
      if (i % 512 !== 0) continue;
      const c = standsThere(at + i);
      if (c !== undefined) return c;
    }
  }
  return undefined;
}

/** The candidate that most speaks for, of those that say the same the primary one. */
function elect(source: Source, candidates: readonly Candidate[]): Candidate | undefined {
  const groups = new Map<string, Candidate[]>();
  for (const c of candidates) groups.set(c.key, [...(groups.get(c.key) ?? []), c]);
  let best: { c: Candidate; fit: number; votes: number } | undefined;
  for (const group of groups.values()) {
    const c = group.find((one) => one.primary) ?? group[0];
    const next = { c, fit: groups.size === 1 ? 1 : fit(source, c.sector), votes: group.length };
    const more =
      best === undefined || next.fit > best.fit || (next.fit === best.fit && next.votes > best.votes);
    // Where nothing else tells, what stands in the primary one stays.
    if (more || (next.fit === best!.fit && next.votes === best!.votes && c.primary)) best = next;
  }
  return best?.c;
}

/**
 * A superblock pieced together where none verifies: each field as most of the sectors have it that bear the magic
 * where the primary one, or another of them, says that copies stand. It must fit the AG headers.
 */
function pieced(source: Source, raw: Uint8Array): Candidate | undefined {
  const v = viewOf(raw);
  const step = v.getUint32(AT.agblocks) * v.getUint32(AT.blocksize);
  if (step < 2 ** 20 || step > source.size) return undefined;
  const sectors: Uint8Array[] = [];
  for (let agno = 0, offset = 0; agno < SAMPLE && offset + 512 <= source.size; agno++, offset += step) {
    const sector = readAt(source, offset, 512);
    if (sector !== undefined && viewOf(sector).getUint32(0) === XFS_SB_MAGIC) sectors.push(sector);
  }
  if (sectors.length < 2) return undefined;
  const sector = raw.slice(0, 512);
  for (const name of [...VOTED, ...FOLLOWED]) {
    const votes = new Map<string, number>();
    for (const s of sectors) votes.set(fieldText(s, name), (votes.get(fieldText(s, name)) ?? 0) + 1);
    const [[most]] = [...votes].sort((a, b) => b[1] - a[1]);
    const winner = sectors.find((s) => fieldText(s, name) === most)!;
    sector.set(winner.subarray(AT[name], AT[name] + SIZE.get(name)!), AT[name]);
  }
  const sectsize = viewOf(sector).getUint16(AT.sectsize);
  if (sectsize < 512 || sectsize > raw.length) return undefined;
  const whole = new Uint8Array(sectsize);
  whole.set(sector.subarray(0, SUPERBLOCK.size));
  tidy(whole, sectors.at(-1)!);
  let ok = unsupportedFeatures(whole).length === 0;
  verifySuperblock(whole, { agno: 0 }, () => {
    ok = false;
  });
  const { dblocks, blocksize } = geometryOf(whole);
  if (!ok || dblocks * blocksize > source.size || fit(source, whole) < 0.5) return undefined;
  return { sector: whole, primary: false, key: '' };
}

export interface FoundSuperblock {
  /** The sector as it should be. */
  readonly sector: Uint8Array;
  /** What is wrong with the primary one; empty where `sector` is just that. */
  readonly findings: Finding[];
}

/** Finds the superblock of the filesystem in `source`, or undefined where there is none. Nothing is written. */
export function findSuperblock(source: Source): FoundSuperblock | undefined {
  const raw = readAt(source, 0, Math.min(source.size, 32768));
  if (raw === undefined || raw.length < 512) return undefined;
  const primary = candidateAt(source, 0);
  const candidates: Candidate[] = primary === undefined ? [] : [primary, ...copiesBy(source, primary.sector)];
  const alone = candidates.length <= 1 && (primary === undefined || geometryOf(primary.sector).agcount > 1);
  if (alone && (primary === undefined || fit(source, primary.sector) < 1)) {
    const first = search(source, viewOf(raw));
    if (first !== undefined) candidates.push(...copiesBy(source, first.sector));
  }
  const elected = elect(source, candidates) ?? pieced(source, raw);
  if (elected === undefined) return undefined;
  const copies = candidates.filter((c) => !c.primary && c.key === elected.key).map((c) => c.sector);
  const findings: Finding[] = [];
  const sector = elected.primary
    ? elected.sector.slice()
    : restored(raw.subarray(0, elected.sector.length), elected.sector);
  const pointers = settlePointers(source, sector, copies);
  tidy(sector, elected.sector);
  const before = raw.subarray(0, sector.length);
  if (!elected.primary) findings.push(finding(before, sector));
  if (pointers.length > 0)
    findings.push({
      code: 'superblock.pointer',
      severity: 'damage',
      agno: 0,
      agbno: 0,
      message: `the superblock: ${pointers.join('; ')}`,
      action: 'set what the filesystem itself and the copies say',
    });
  return { sector: findings.length === 0 ? elected.sector : sector, findings };
}

/** The primary sector with what is voted on from a copy; the copy itself where little of the sector is left. */
function restored(raw: Uint8Array, copy: Uint8Array): Uint8Array {
  const sector = copy.slice();
  const v = viewOf(sector);
  if (differingFields(raw, copy).length <= VOTED.length / 4) {
    sector.set(raw);
    for (const name of VOTED) {
      const own = viewOf(raw);
      const at = AT[name];
      sector.set(copy.subarray(at, at + SIZE.get(name)!), at);
      if (name === 'versionnum') v.setUint16(at, v.getUint16(at) | (own.getUint16(at) & OWN_VERSION_BITS));
      if (name === 'features_incompat')
        v.setUint32(at, (v.getUint32(at) | (own.getUint32(at) & OWN_INCOMPAT)) >>> 0);
    }
  }
  return sector;
}

/** Fields that can have but one value, or whose value a copy knows: set where they cannot be true. */
function tidy(sector: Uint8Array, copy: Uint8Array): void {
  const v = viewOf(sector);
  v.setUint8(AT.inprogress, 0);
  v.setUint8(AT.shared_vn, 0);
  v.setUint8(AT.flags, 0);
  if (unsupportedFeatures(sector).length > 0)
    v.setUint32(AT.features_log_incompat, viewOf(copy).getUint32(AT.features_log_incompat));
  sealCrc(sector, AT.crc);
  // One field after the other from the copy, until nothing is wrong with it.
  for (let round = 0; round < SUPERBLOCK.fields.length; round++) {
    let bad: Fault | undefined;
    verifySuperblock(sector, { agno: 0 }, (fault) => {
      bad ??= fault;
    });
    if (bad === undefined) return;
    // The two of a stripe are judged together.
    const names = bad.field === 'unit' || bad.field === 'width' ? (['unit', 'width'] as const) : [bad.field];
    for (const name of names) {
      const at = AT[name as FieldName];
      sector.set(copy.subarray(at, at + SIZE.get(name)!), at);
    }
    sealCrc(sector, AT.crc);
  }
}

function finding(raw: Uint8Array, sector: Uint8Array): Finding {
  let fault: Fault | undefined;
  verifySuperblock(raw, { agno: 0, agbno: 0 }, (f) => {
    fault ??= f;
  });
  const fields = differingFields(raw, sector);
  const what =
    fault !== undefined ? describeFault(fault) : `it contradicts its copies in ${fields.join(', ')}`;
  return {
    code: 'superblock.primary',
    severity: 'damage',
    agno: 0,
    agbno: 0,
    message: `the primary superblock cannot be believed: ${what}`,
    evidence: {
      field: fields.join(' ') || fault?.field,
      value: fields.map((name) => fieldText(raw, name)).join(' ') || String(fault?.value),
      expected: fields.map((name) => fieldText(sector, name)).join(' ') || fault?.expected,
    },
    action: 'restore it from its copies',
  };
}

/** Copies of the superblock: what is wrong with the one of AG `agno`, by the primary one. Undefined: nothing. */
export function copyFault(
  g: Geometry,
  agno: number,
  primary: Uint8Array,
  copy: Uint8Array,
): string | undefined {
  let what: string | undefined;
  verifySuperblock(copy, { agno, agbno: 0 }, (fault) => {
    what ??= describeFault(fault);
  });
  if (what !== undefined) return what;
  const v = viewOf(copy);
  const differ = [
    ...differingFields(primary, copy),
    ...FOLLOWED.filter((n) => fieldText(primary, n) !== fieldText(copy, n)),
  ];
  if (differ.length > 0) return `${differ.join(', ')} differ from the primary superblock`;
  for (const name of UNUSED_IN_COPIES) {
    const value =
      SIZE.get(name) === 8
        ? getU64(v, AT[name])
        : SIZE.get(name) === 2
          ? v.getUint16(AT[name])
          : v.getUint8(AT[name]);
    if (value !== 0 && !(SIZE.get(name) === 8 && value === 2 ** 64))
      return `${name} is ${value}, and copies do not have it`;
  }
  const end = endOfFields(g);
  if (copy.subarray(end).some((b) => b !== 0)) return `bytes from ${end} on are not zero`;
  return undefined;
}

/** Fields in which the copies follow the primary one: mount options can change it there alone. */
const FOLLOWED = ['unit', 'width', 'features_log_incompat'] as const satisfies readonly FieldName[];
/** Fields that stand in the primary one alone. */
const UNUSED_IN_COPIES = [
  'uquotino',
  'gquotino',
  'pquotino',
  'qflags',
  'flags',
  'shared_vn',
] as const satisfies readonly FieldName[];

/** A copy of the superblock as it should be. */
export function copyOf(primary: Uint8Array): Uint8Array {
  const sector = primary.slice();
  const v = viewOf(sector);
  for (const name of UNUSED_IN_COPIES) sector.fill(0, AT[name], AT[name] + SIZE.get(name)!);
  v.setUint16(AT.versionnum, v.getUint16(AT.versionnum) & ~VERSION_BITS.QUOTA);
  v.setUint32(AT.features_incompat, (v.getUint32(AT.features_incompat) & ~OWN_INCOMPAT) >>> 0);
  sealCrc(sector, AT.crc);
  return sector;
}
