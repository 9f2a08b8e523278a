/**
 * Attributes saved from an inode's own attribute fork. No hash tells a name there: the lengths of the entries, their
 * count and their total size vouch for each other, and an ACL for its own length. Of all ways to read the fork with
 * one length changed the one that contradicts least is taken; where two contradict as little, what they agree in.
 */
import { isAclName, isAclValue, SGI_ACL_DEFAULT, SGI_ACL_FILE } from '../../format/acl.js';
import {
  ATTR_FLAG,
  ATTR_NAMESPACE_MASK,
  ATTR_SF_ENTRY,
  ATTR_SF_HDR,
  attrNamespace,
  attrSfEntrySize,
  PARENT_REC,
} from '../../format/attr.js';
import { viewOf } from '../../format/structure.js';
import { bytesToText } from '../../format/text.js';

/** Takes what is saved, and names of what is not. */
export interface AttrSink {
  take(flags: number, name: Uint8Array, value: Uint8Array): void;
  lose(name: Uint8Array): void;
}

/** Namespaces of names that are only used in one. */
export const FIXED_NAMESPACE: ReadonlyMap<string, number> = new Map([
  [SGI_ACL_FILE, ATTR_FLAG.ROOT],
  [SGI_ACL_DEFAULT, ATTR_FLAG.ROOT],
  ['selinux', ATTR_FLAG.SECURE],
  ['capability', ATTR_FLAG.SECURE],
]);

/** Plain text without a control character: what names are. */
export const isPlain = (b: Uint8Array): boolean => b.every((c) => c > 0x20 && c !== 0x7f);

/** What a reading has against it. */
const COST = {
  /** A field that is not what it says. */
  FIELD: 1,
  /** A length of an entry that is not what it says: what follows has to be read otherwise too. */
  LENGTH: 1.1,
  /** An entry that cannot be what it is read as. */
  ENTRY: 2,
  /** An entry of which nothing can be read. */
  LOST: 3,
  /** A sign that speaks against it and proves nothing. */
  SIGN: 0.3,
  /** A name that programs look for speaks for it. */
  KNOWN: 0.7,
};

interface Entry {
  readonly at: number;
  readonly flags: number;
  readonly name: Uint8Array;
  readonly value: Uint8Array;
  readonly next: number;
  readonly cost: number;
}

interface Reading {
  readonly entries: readonly Entry[];
  readonly cost: number;
}

/** The entry at `at` with these lengths; undefined where it leaves the fork or has no name. */
function entryAt(fork: Uint8Array, at: number, namelen: number, valuelen: number): Entry | undefined {
  const next = at + attrSfEntrySize(namelen, valuelen);
  if (namelen === 0 || next > fork.length || valuelen > 255) return undefined;
  const from = at + ATTR_SF_ENTRY.size;
  const name = fork.subarray(from, from + namelen);
  const value = fork.subarray(from + namelen, next);
  const stored = fork[at + ATTR_SF_ENTRY.at.flags];
  let flags = stored & ATTR_NAMESPACE_MASK;
  if (flags !== stored || attrNamespace(flags) === undefined)
    flags = FIXED_NAMESPACE.get(bytesToText(name)) ?? flags;
  if (attrNamespace(flags) === undefined) return undefined;
  return { at, flags, name, value, next, cost: costOf(flags, stored, name, value) };
}

function costOf(flags: number, stored: number, name: Uint8Array, value: Uint8Array): number {
  let cost = flags === stored ? 0 : COST.FIELD;
  if (flags === ATTR_FLAG.PARENT) return cost + (value.length === PARENT_REC.size ? 0 : COST.ENTRY);
  if (isAclName(flags, name)) return cost + (isAclValue(value) ? -COST.KNOWN : COST.ENTRY);
  if (!isPlain(name)) cost += name.includes(0) ? COST.ENTRY : COST.SIGN;
  if (FIXED_NAMESPACE.get(bytesToText(name)) === flags) cost -= COST.KNOWN;
  return cost;
}

const isZero = (b: Uint8Array): boolean => b.every((c) => c === 0);

class Readings {
  readonly #fork: Uint8Array;
  readonly #count: number;
  readonly #totsize: number;
  /** Those that contradict least. */
  best: Reading[] = [];

  constructor(fork: Uint8Array) {
    const v = viewOf(fork);
    this.#fork = fork;
    this.#count = v.getUint8(ATTR_SF_HDR.at.count);
    this.#totsize = v.getUint16(ATTR_SF_HDR.at.totsize);
  }

  /** Reads on from `at` with all as it is stored, and at each entry with one of its lengths another. */
  run(): void {
    const before: Entry[] = [];
    let at: number = ATTR_SF_HDR.size;
    let cost = 0;
    for (;;) {
      this.#mayEnd(before, at, cost);
      if (before.length > 255 || at + ATTR_SF_ENTRY.size >= this.#fork.length) return;
      const [namelen, valuelen] = [this.#fork[at], this.#fork[at + 1]];
      for (let n = 1; n <= 255; n++) if (n !== namelen) this.#goOn(before, cost, at, n, valuelen);
      for (let n = 0; n <= 255; n++) if (n !== valuelen) this.#goOn(before, cost, at, namelen, n);
      const plain = entryAt(this.#fork, at, namelen, valuelen);
      if (plain === undefined) return;
      before.push(plain);
      at = plain.next;
      cost += plain.cost;
    }
  }

  /** One length changed; what follows is read as it is stored. */
  #goOn(before: readonly Entry[], cost: number, at: number, namelen: number, valuelen: number): void {
    const changed = entryAt(this.#fork, at, namelen, valuelen);
    if (changed === undefined) return;
    const stored = at + attrSfEntrySize(this.#fork[at], this.#fork[at + 1]);
    // Zeros are what stands behind an entry, not what it was short of.
    const gained = changed.next > stored && isZero(this.#fork.subarray(stored, changed.next));
    let sum = cost + COST.LENGTH + changed.cost + (gained ? COST.SIGN : 0);
    const entries = [...before, changed];
    let next = changed.next;
    while (entries.length <= 255) {
      this.#mayEnd(entries, next, sum);
      const entry = entryAt(this.#fork, next, this.#fork[next], this.#fork[next + 1]);
      if (entry === undefined) return;
      entries.push(entry);
      sum += entry.cost;
      next = entry.next;
    }
  }

  /** Takes a reading that ends at `end`, where count or size say so. */
  #mayEnd(entries: readonly Entry[], end: number, cost: number): void {
    const counted = entries.length === this.#count;
    const sized = end === this.#totsize;
    if (!(counted || sized) || entries.length === 0) return;
    let sum = cost + (counted && sized ? 0 : COST.FIELD);
    // Behind the last entry stand zeros, where nothing longer stood there once.
    if (end < this.#fork.length && this.#fork[end] !== 0) sum += COST.SIGN;
    if (end > this.#totsize && isZero(this.#fork.subarray(this.#totsize, end))) sum += COST.SIGN;
    this.#offer({ entries: [...entries], cost: sum });
  }

  /** An entry in the middle or at the end of which nothing can be read costs as much as two changed fields. */
  withoutOne(): { reading: Reading; at: number } | undefined {
    const entries: Entry[] = [];
    let at: number = ATTR_SF_HDR.size;
    const end = Math.min(this.#totsize, this.#fork.length);
    while (at + ATTR_SF_ENTRY.size < end) {
      const entry = entryAt(this.#fork, at, this.#fork[at], this.#fork[at + 1]);
      if (entry === undefined || entry.next > end || entry.cost >= COST.ENTRY) break;
      entries.push(entry);
      at = entry.next;
    }
    if (at >= end) return undefined;
    for (let from = at + ATTR_SF_ENTRY.size + 1; from < end; from++) {
      const rest: Entry[] = [];
      let next = from;
      while (next < end) {
        const entry = entryAt(this.#fork, next, this.#fork[next], this.#fork[next + 1]);
        if (entry === undefined || entry.cost >= COST.ENTRY) break;
        rest.push(entry);
        next = entry.next;
      }
      if (next === end && entries.length + 1 + rest.length === this.#count)
        return { reading: { entries: [...entries, ...rest], cost: COST.LOST }, at };
    }
    return { reading: { entries, cost: COST.LOST }, at };
  }

  #offer(reading: Reading): void {
    const least = this.best[0]?.cost ?? Number.POSITIVE_INFINITY;
    if (reading.cost > least + 1e-9) return;
    if (reading.cost < least - 1e-9) this.best = [];
    this.best.push(reading);
  }
}

const keyOf = ({ at, flags, name, next }: Entry): string => `${at} ${flags} ${name.length} ${next}`;

/** Saves the attributes of a fork: `fork` is the inode's whole attribute fork. */
export function salvageShortForm(fork: Uint8Array, out: AttrSink): void {
  if (fork.length < ATTR_SF_HDR.size) return;
  const readings = new Readings(fork);
  readings.run();
  const [first, ...others] = readings.best;
  if (first === undefined || first.cost >= COST.LOST) {
    const known = readings.withoutOne();
    for (const e of known?.reading.entries ?? []) out.take(e.flags, e.name, e.value);
    if (known !== undefined) loseAt(fork, known.at, out);
    return;
  }
  const sets = others.map((r) => new Set(r.entries.map(keyOf)));
  for (const e of first.entries) {
    const agreed = sets.every((s) => s.has(keyOf(e)));
    const isBroken = isAclName(e.flags, e.name) && !isAclValue(e.value);
    if (agreed && !isBroken && !e.name.includes(0)) out.take(e.flags, e.name, e.value);
    else loseAt(fork, e.at, out);
  }
}

function loseAt(fork: Uint8Array, at: number, out: AttrSink): void {
  const from = at + ATTR_SF_ENTRY.size;
  out.lose(fork.subarray(from, from + Math.max(1, fork[at])));
}
