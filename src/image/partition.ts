/**
 * Partition tables of whole-disk images: GPT (UEFI specification, chapter 5) and MBR with its chain of
 * extended partitions. Little-endian throughout.
 */
import { ImageError, type Source } from './source.js';

export interface Partition {
  /** As the tools of the table number it, from 1. */
  readonly number: number;
  readonly start: number;
  readonly size: number;
  /** GPT name; empty for MBR. */
  readonly name: string;
  /** Type GUID or MBR type byte. */
  readonly type: string;
}

const GPT_SIGNATURE = 'EFI PART';
/** Extended partitions: CHS, LBA and Linux's own type. */
const EXTENDED = new Set([0x05, 0x0f, 0x85]);
/** More entries than any table has; a bound against a corrupt count. */
const MAX_ENTRIES = 1024;

function readAt(source: Source, offset: number, length: number): DataView | undefined {
  if (offset < 0 || offset + length > source.size) return undefined;
  const b = new Uint8Array(length);
  source.read(offset, b);
  return new DataView(b.buffer);
}

const ascii = (v: DataView, at: number, n: number): string => {
  let s = '';
  for (let i = 0; i < n; i++) s += String.fromCharCode(v.getUint8(at + i));
  return s;
};

/** GUIDs keep their first three groups little-endian. */
function guid(v: DataView, at: number): string {
  const h = (n: number, digits: number): string => n.toString(16).padStart(digits, '0');
  let rest = '';
  for (let i = 8; i < 16; i++) rest += h(v.getUint8(at + i), 2);
  return `${h(v.getUint32(at, true), 8)}-${h(v.getUint16(at + 4, true), 4)}-${h(v.getUint16(at + 6, true), 4)}-${rest.slice(0, 4)}-${rest.slice(4)}`;
}

const u64le = (v: DataView, at: number): number =>
  v.getUint32(at + 4, true) * 0x1_0000_0000 + v.getUint32(at, true);

function gpt(source: Source): Partition[] | undefined {
  // The header stands in the second sector; sectors are 512 or 4096 bytes.
  for (const sector of [512, 4096]) {
    const h = readAt(source, sector, 92);
    if (h === undefined || ascii(h, 0, 8) !== GPT_SIGNATURE) continue;
    const entries = u64le(h, 72) * sector;
    const count = Math.min(h.getUint32(80, true), MAX_ENTRIES);
    const entrySize = h.getUint32(84, true);
    if (entrySize < 128 || entrySize > 4096) return undefined;
    const out: Partition[] = [];
    for (let i = 0; i < count; i++) {
      const e = readAt(source, entries + i * entrySize, 128);
      if (e === undefined) break;
      const type = guid(e, 0);
      if (/^[0-]+$/.test(type)) continue;
      let name = '';
      for (let c = 0; c < 36; c++) {
        const unit = e.getUint16(56 + c * 2, true);
        if (unit === 0) break;
        name += String.fromCharCode(unit);
      }
      const first = u64le(e, 32);
      const last = u64le(e, 40);
      if (last < first) continue;
      out.push({ number: i + 1, start: first * sector, size: (last - first + 1) * sector, name, type });
    }
    return out;
  }
  return undefined;
}

function mbr(source: Source): Partition[] | undefined {
  const boot = readAt(source, 0, 512);
  if (boot === undefined || boot.getUint16(510, true) !== 0xaa55) return undefined;
  const out: Partition[] = [];
  let extended = 0;
  for (let i = 0; i < 4; i++) {
    const at = 446 + i * 16;
    const type = boot.getUint8(at + 4);
    const start = boot.getUint32(at + 8, true);
    const sectors = boot.getUint32(at + 12, true);
    if (type === 0 || sectors === 0) continue;
    if (EXTENDED.has(type)) extended = start;
    else
      out.push({
        number: i + 1,
        start: start * 512,
        size: sectors * 512,
        name: '',
        type: `0x${type.toString(16)}`,
      });
  }
  // Logical partitions: a chain of tables, each with one partition and the way to the next.
  let next = extended;
  for (let number = 5; next !== 0 && number < 64; number++) {
    const table = readAt(source, next * 512, 512);
    if (table === undefined || table.getUint16(510, true) !== 0xaa55) break;
    const type = table.getUint8(446 + 4);
    const start = next + table.getUint32(446 + 8, true);
    const sectors = table.getUint32(446 + 12, true);
    if (type !== 0 && sectors !== 0)
      out.push({ number, start: start * 512, size: sectors * 512, name: '', type: `0x${type.toString(16)}` });
    const link = table.getUint32(462 + 8, true);
    const following = link === 0 ? 0 : extended + link;
    if (following !== 0 && following <= next) break; // a chain that turns back is corrupt
    next = following;
  }
  return out;
}

/** The partitions of a disk image, or undefined where it has no partition table. */
export function readPartitions(source: Source): Partition[] | undefined {
  return gpt(source) ?? mbr(source);
}

/** Partition `number`; throws ImageError naming those there are. */
export function findPartition(source: Source, number: number): Partition {
  const all = readPartitions(source);
  if (all === undefined) throw new ImageError('no partition table (GPT or MBR) in this image');
  const found = all.find((p) => p.number === number);
  if (found === undefined) {
    const names = all.map((p) => p.number).join(', ') || 'none';
    throw new ImageError(`no partition ${number}; this image has: ${names}`);
  }
  return found;
}
