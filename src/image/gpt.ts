/**
 * A GUID partition table with one partition (UEFI specification, chapter 5): protective MBR, header and
 * entries at the front, their copies at the back. Sectors of 512 bytes; everything little-endian.
 */
import { ImageError, type Source } from './source.js';

/** Types by the names of the Discoverable Partitions Specification. */
export const PARTITION_TYPES: Readonly<Record<string, string>> = {
  linux: '0fc63daf-8483-4772-8e79-3d69d8477de4',
  'root-x86-64': '4f68bce3-e8cd-4db1-96e7-fbcaf984b709',
  'root-arm64': 'b921b045-1df0-41c3-af44-4c6f280d3fae',
  'usr-x86-64': '8484680c-9521-48c6-9c11-b0720656f69e',
  'usr-arm64': 'b0e01050-ee5f-4390-949a-9101b17104e9',
  home: '933ac7e1-2eb4-4f13-b844-0e14e2aef915',
  srv: '3b8f8425-20e0-4f3b-907f-1a25a76f98e8',
  var: '4d21b016-b534-45c2-a9fb-5c16e091fd2d',
  tmp: '7ec6f557-3bc5-4aca-b293-16ef5df639d1',
};

/** UTF-16 units of a partition's name. */
export const GPT_NAME_LENGTH = 36;
/** Where the partition begins, and what its end is aligned to. */
const ALIGNMENT = 2 ** 20;
/** Bytes by which an image is larger than the partition in it. */
export const GPT_BYTES = 2 * ALIGNMENT;

const SECTOR = 512;
const ENTRIES = 128;
const ENTRY_SIZE = 128;
const HEADER_SIZE = 92;
const ENTRY_SECTORS = (ENTRIES * ENTRY_SIZE) / SECTOR;
const FIRST_ENTRIES = 2;
const REVISION = 0x0001_0000;

export interface GptPlan {
  /** Bytes of the image, and the part of it that is the partition's. */
  readonly bytes: number;
  readonly start: number;
  readonly size: number;
}

/** Where a partition goes in an image of `bytes` bytes. Throws ImageError where it is too small. */
export function planGpt(bytes: number): GptPlan {
  const usable = Math.floor(bytes / SECTOR) * SECTOR - (ENTRY_SECTORS + 1) * SECTOR;
  const size = Math.floor(usable / ALIGNMENT) * ALIGNMENT - ALIGNMENT;
  if (size <= 0) throw new ImageError(`${bytes} bytes are too few for a partition table and a partition`);
  return { bytes, start: ALIGNMENT, size };
}

export interface GptIdentity {
  /** GUIDs as text. */
  readonly disk: string;
  readonly partition: string;
  readonly type: string;
  readonly name: string;
}

/** Writes the table; the partition's own bytes are left alone. */
export function writeGpt(source: Source, plan: GptPlan, id: GptIdentity): void {
  const sectors = Math.floor(plan.bytes / SECTOR);
  const last = sectors - 1;
  const entries = encodeEntries(plan, id);
  const lastEntries = last - ENTRY_SECTORS;
  const front = new Uint8Array((FIRST_ENTRIES + ENTRY_SECTORS) * SECTOR);
  front.set(protectiveMbr(sectors));
  front.set(encodeHeader(id, entries, sectors, 1, last, FIRST_ENTRIES), SECTOR);
  front.set(entries, FIRST_ENTRIES * SECTOR);
  const back = new Uint8Array((ENTRY_SECTORS + 1) * SECTOR);
  back.set(entries);
  back.set(encodeHeader(id, entries, sectors, last, 1, lastEntries), entries.length);
  source.write(lastEntries * SECTOR, back);
  source.write(0, front);
}

/** One partition of type 0xee over the whole disk, so that tools of old leave it alone. */
function protectiveMbr(sectors: number): Uint8Array {
  const b = new Uint8Array(SECTOR);
  const v = new DataView(b.buffer);
  const at = 446;
  b.set([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff], at);
  v.setUint32(at + 8, 1, true);
  v.setUint32(at + 12, Math.min(sectors - 1, 0xffff_ffff), true);
  v.setUint16(510, 0xaa55, true);
  return b;
}

function encodeEntries(plan: GptPlan, id: GptIdentity): Uint8Array {
  const b = new Uint8Array(ENTRIES * ENTRY_SIZE);
  const v = new DataView(b.buffer);
  putGuid(v, 0, id.type);
  putGuid(v, 16, id.partition);
  putU64(v, 32, plan.start / SECTOR);
  putU64(v, 40, (plan.start + plan.size) / SECTOR - 1);
  for (let i = 0; i < id.name.length; i++) v.setUint16(56 + i * 2, id.name.charCodeAt(i), true);
  return b;
}

function encodeHeader(
  id: GptIdentity,
  entries: Uint8Array,
  sectors: number,
  own: number,
  other: number,
  entriesAt: number,
): Uint8Array {
  const b = new Uint8Array(SECTOR);
  const v = new DataView(b.buffer);
  b.set(Buffer.from('EFI PART', 'latin1'));
  v.setUint32(8, REVISION, true);
  v.setUint32(12, HEADER_SIZE, true);
  putU64(v, 24, own);
  putU64(v, 32, other);
  putU64(v, 40, FIRST_ENTRIES + ENTRY_SECTORS);
  putU64(v, 48, sectors - ENTRY_SECTORS - 2);
  putGuid(v, 56, id.disk);
  putU64(v, 72, entriesAt);
  v.setUint32(80, ENTRIES, true);
  v.setUint32(84, ENTRY_SIZE, true);
  v.setUint32(88, crc32(entries), true);
  v.setUint32(16, crc32(b.subarray(0, HEADER_SIZE)), true);
  return b;
}

function putU64(v: DataView, at: number, value: number): void {
  v.setUint32(at, value >>> 0, true);
  v.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

/** GUIDs keep their first three groups little-endian. */
function putGuid(v: DataView, at: number, text: string): void {
  const [a, b, c, d, e] = text.split('-');
  v.setUint32(at, Number.parseInt(a, 16), true);
  v.setUint16(at + 4, Number.parseInt(b, 16), true);
  v.setUint16(at + 6, Number.parseInt(c, 16), true);
  const rest = d + e;
  for (let i = 0; i < 8; i++) v.setUint8(at + 8 + i, Number.parseInt(rest.slice(i * 2, i * 2 + 2), 16));
}

/** CRC-32 (IEEE 802.3): Node has it in zlib only from version 22 on. */
function crc32(b: Uint8Array): number {
  let c = ~0;
  for (const byte of b) {
    c ^= byte;
    for (let k = 0; k < 8; k++) c = (c >>> 1) ^ (c & 1 ? 0xedb8_8320 : 0);
  }
  return ~c >>> 0;
}
