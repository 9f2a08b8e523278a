/** Metadump files changed at random: the first record, indexes, blocks, cuts. */
import { sealCrc } from '../../src/format/checksum.js';
import { viewOf } from '../../src/format/structure.js';
import { SUPERBLOCK } from '../../src/format/superblock.js';

const SECTOR = 512;
/** Bytes of a record's head, and addresses behind it. */
const HEAD = 8;
const MOST = 63;

/** What is changed, and how often it is chosen. */
const KINDS = {
  head: 3,
  address: 5,
  count: 3,
  superblock: 5,
  block: 2,
  cut: 4,
  lost: 2,
  twice: 2,
  swapped: 2,
  noise: 1,
} as const;
type Kind = keyof typeof KINDS;

/** Where each record of a dump begins. */
export function recordsOf(dump: Buffer): number[] {
  const out: number[] = [];
  for (let at = 0; at < dump.length; at += (1 + dump.readUInt16BE(at + 4)) * SECTOR) out.push(at);
  return out;
}

export interface Damaged {
  readonly what: string;
  readonly bytes: Buffer;
}

/** A dump with one thing of it changed. The same for the same dice. */
export function damagedDump(good: Buffer, records: readonly number[], dice: () => number): Damaged {
  const below = (n: number): number => Math.floor(dice() * n);
  const record = records[below(records.length)];
  const count = good.readUInt16BE(record + 4);
  const end = record + (1 + count) * SECTOR;
  const kind = chosen(dice);
  const bytes = Buffer.from(good);
  const within = (from: number, to: number): Buffer => Buffer.from(good.subarray(from, to));
  switch (kind) {
    case 'head': {
      const at = record + below(HEAD);
      bytes[at] = dice() < 0.5 ? bytes[at] ^ (1 << below(8)) : below(256);
      return { what: `byte ${at}, of a record's head`, bytes };
    }
    case 'address': {
      const at = record + HEAD + below(Math.max(1, count)) * 8;
      const old = bytes.readBigUInt64BE(at);
      const value = [
        0n,
        2n ** 64n - 1n,
        old + 1n,
        old * 512n,
        BigInt(below(2 ** 32)),
        old ^ (1n << BigInt(below(64))),
      ];
      bytes.writeBigUInt64BE(BigInt.asUintN(64, value[below(value.length)]), at);
      return { what: `address at byte ${at}`, bytes };
    }
    case 'count': {
      const value = [0, 1, count - 1, count + 1, MOST, MOST + 1, 65535, below(65536)][below(8)];
      bytes.writeUInt16BE(value & 0xffff, record + 4);
      return { what: `count ${value & 0xffff} of the record at byte ${record}`, bytes };
    }
    case 'superblock': {
      const field = SUPERBLOCK.fields[below(SUPERBLOCK.fields.length)];
      const sector = bytes.subarray(SECTOR, 2 * SECTOR);
      const how = below(4);
      for (let i = 0; i < field.type.size; i++)
        sector[field.offset + i] =
          how === 0
            ? 0
            : how === 1
              ? 0xff
              : how === 2
                ? below(256)
                : sector[field.offset + i] ^ (1 << below(8));
      if (dice() < 0.8) sealCrc(sector, SUPERBLOCK.at.crc);
      return { what: `${field.name} of the superblock`, bytes };
    }
    case 'block': {
      const at = record + SECTOR + below(Math.max(1, end - record - SECTOR));
      bytes[Math.min(at, bytes.length - 1)] = below(256);
      return { what: `byte ${at}, of a block`, bytes };
    }
    case 'cut': {
      const at = [below(good.length), record, record + SECTOR, end - 1, end][below(5)];
      return { what: `cut at byte ${at}`, bytes: within(0, at) };
    }
    case 'lost':
      return {
        what: `record at byte ${record} lost`,
        bytes: Buffer.concat([within(0, record), within(end, good.length)]),
      };
    case 'twice':
      return {
        what: `record at byte ${record} twice`,
        bytes: Buffer.concat([within(0, end), within(record, good.length)]),
      };
    case 'swapped':
      return {
        what: `record at byte ${record} first`,
        bytes: Buffer.concat([within(record, end), within(0, record), within(end, good.length)]),
      };
    case 'noise': {
      const at = below(good.length);
      for (let i = at; i < Math.min(at + SECTOR, bytes.length); i++) bytes[i] = below(256);
      return { what: `noise at byte ${at}`, bytes };
    }
  }
}

function chosen(dice: () => number): Kind {
  const all = Object.entries(KINDS) as [Kind, number][];
  let at = dice() * all.reduce((n, [, weight]) => n + weight, 0);
  for (const [kind, weight] of all) {
    at -= weight;
    if (at < 0) return kind;
  }
  return 'noise';
}

/** Size of the filesystem that a dump's superblock claims. */
export const claimedBytes = (dump: Buffer): bigint => {
  const v = viewOf(dump.subarray(SECTOR));
  return v.getBigUint64(SUPERBLOCK.at.dblocks) * BigInt(v.getUint32(SUPERBLOCK.at.blocksize));
};
