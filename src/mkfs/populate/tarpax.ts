/** The keys of pax headers that matter to a filesystem, and the attributes in them. */
import { readFileSync } from 'node:fs';
import { aclFromText, aclToXattr } from '../../format/acl.js';
import type { SourceXattr } from './tree.js';

export interface PaxTime {
  readonly sec: number;
  readonly nsec: number;
}

export interface PaxFields {
  path?: Uint8Array;
  linkpath?: Uint8Array;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: PaxTime;
  atime?: PaxTime;
  sparseMajor?: number;
  /** Size of a sparse file, holes included. */
  sparseSize?: number;
  /** Offsets and lengths, in turn. */
  sparsePairs?: number[];
  /** By full name as latin1; ACLs as text under their pax key. */
  readonly xattrs: Map<string, Uint8Array>;
}

/** What holds for one member: its own fields before those for all. */
export function mergePax(all: PaxFields, own: PaxFields): PaxFields {
  const xattrs = all.xattrs.size === 0 ? own.xattrs : new Map([...all.xattrs, ...own.xattrs]);
  return { ...all, ...own, xattrs };
}

const latin1 = (b: Uint8Array): string => Buffer.from(b).toString('latin1');

/** A decimal number that a field can hold; undefined for anything else, as if the key were not there. */
function decimal(value: Uint8Array): number | undefined {
  const text = latin1(value);
  const n = Number(text);
  return /^\d+$/.test(text) && Number.isSafeInteger(n) ? n : undefined;
}

function time(value: Uint8Array): PaxTime | undefined {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(latin1(value));
  if (match === null) return undefined;
  const sec = Number(match[2]);
  const nsec = Number((match[3] ?? '').padEnd(9, '0').slice(0, 9));
  if (!Number.isSafeInteger(sec)) return undefined;
  if (match[1] === '') return { sec, nsec };
  // Minus three and a half seconds are minus four and half a second.
  return nsec === 0 ? { sec: -sec, nsec: 0 } : { sec: -sec - 1, nsec: 1_000_000_000 - nsec };
}

/** Takes one record in. Unknown keys are left alone. */
export function takePax(into: PaxFields, key: string, value: Uint8Array): void {
  switch (key) {
    case 'path':
      into.path ??= value;
      return;
    case 'GNU.sparse.name':
      into.path = value;
      return;
    case 'linkpath':
      into.linkpath = value;
      return;
    case 'size':
      into.size = decimal(value);
      return;
    case 'uid':
      into.uid = decimal(value);
      return;
    case 'gid':
      into.gid = decimal(value);
      return;
    case 'mtime':
      into.mtime = time(value);
      return;
    case 'atime':
      into.atime = time(value);
      return;
    case 'GNU.sparse.major':
      into.sparseMajor = decimal(value);
      return;
    case 'GNU.sparse.size':
    case 'GNU.sparse.realsize':
      into.sparseSize = decimal(value);
      return;
    case 'GNU.sparse.offset':
    case 'GNU.sparse.numbytes':
      into.sparsePairs ??= [];
      into.sparsePairs.push(decimal(value) ?? Number.NaN);
      return;
    case 'GNU.sparse.map':
      into.sparsePairs = latin1(value) === '' ? [] : latin1(value).split(',').map(Number);
      return;
    case 'RHT.security.selinux':
      into.xattrs.set('security.selinux', value);
      return;
    case 'SCHILY.acl.access':
    case 'SCHILY.acl.default':
      into.xattrs.set(key, value);
      return;
  }
  if (key.startsWith('SCHILY.xattr.')) {
    // GNU tar writes the sign that ends a key, and its own mark, in hex.
    const name = key
      .slice('SCHILY.xattr.'.length)
      .replace(/%(3D|25)/g, (_, c: string) => (c === '25' ? '%' : '='));
    into.xattrs.set(name, value);
  } else if (key.startsWith('LIBARCHIVE.xattr.')) {
    const name = key
      .slice('LIBARCHIVE.xattr.'.length)
      .replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    // The SCHILY form of the same attribute is the exact one, and may stand on either side of this.
    if (!into.xattrs.has(name)) into.xattrs.set(name, Buffer.from(latin1(value), 'base64'));
  }
}

const NONE: Uint8Array = new Uint8Array(0);

/** Names of users and groups, as the archive's own members pair them with numbers; else as this machine does. */
export class IdNames {
  readonly #known = { user: new Map<string, number>(), group: new Map<string, number>() };
  /** The pair noted last: one owner has most of an archive. */
  readonly #last = { user: { name: NONE, id: -1 }, group: { name: NONE, id: -1 } };
  #machine: { user: Map<string, number>; group: Map<string, number> } | undefined;

  note(kind: 'user' | 'group', name: Uint8Array, id: number): void {
    const last = this.#last[kind];
    if (name.length === 0 || (last.id === id && Buffer.compare(last.name, name) === 0)) return;
    this.#last[kind] = { name: name.slice(), id };
    this.#known[kind].set(latin1(name), id);
  }

  #idOf(kind: 'user' | 'group', name: string): number | undefined {
    const id = this.#known[kind].get(name);
    if (id !== undefined) return id;
    this.#machine ??= { user: readIds('/etc/passwd'), group: readIds('/etc/group') };
    return this.#machine[kind].get(name);
  }

  /** A member's attributes with ACLs as attributes. `bad` makes the error for one that cannot be. */
  xattrs(pax: PaxFields, bad: (why: string) => Error): SourceXattr[] {
    const out: SourceXattr[] = [];
    for (const [key, value] of pax.xattrs) {
      if (!key.startsWith('SCHILY.acl.')) {
        if (key === '') throw bad('an attribute without a name');
        out.push({ name: Buffer.from(key, 'latin1'), value });
        continue;
      }
      const entries = aclFromText(latin1(value), (kind, name) => this.#idOf(kind, name));
      if (entries === undefined) throw bad(`${key} is no ACL: ${latin1(value).slice(0, 80)}`);
      const name = Buffer.from(`system.posix_acl_${key.slice('SCHILY.acl.'.length)}`);
      const same = out.findIndex((x) => Buffer.compare(x.name, name) === 0);
      if (same < 0) out.push({ name, value: aclToXattr(entries) });
    }
    return out;
  }
}

function readIds(file: string): Map<string, number> {
  const ids = new Map<string, number>();
  try {
    for (const line of readFileSync(file, 'latin1').split('\n')) {
      const [name, , id] = line.split(':');
      if (/^\d+$/.test(id ?? '')) ids.set(name, Number(id));
    }
  } catch {
    // Not a Unix: names without numbers are then refused.
  }
  return ids;
}
