/**
 * POSIX ACLs: Linux hands them out as the attribute "system.posix_acl_access" (or "_default") in one layout
 * (posix_acl_xattr.h, little-endian), XFS keeps them as "trusted" SGI_ACL_FILE (or _DEFAULT) in another
 * (struct xfs_acl, big-endian).
 */
import { ATTR_FLAG, XATTR_SIZE_MAX } from './attr.js';
import { viewOf } from './structure.js';
import { bytesToText } from './text.js';

/** Names, without the namespace. */
export const SGI_ACL_FILE = 'SGI_ACL_FILE';
export const SGI_ACL_DEFAULT = 'SGI_ACL_DEFAULT';
export const POSIX_ACL_ACCESS = 'posix_acl_access';
export const POSIX_ACL_DEFAULT = 'posix_acl_default';

export const ACL_TAG = { USER_OBJ: 1, USER: 2, GROUP_OBJ: 4, GROUP: 8, MASK: 16, OTHER: 32 } as const;
const UNDEFINED_ID = 0xffff_ffff;
const XATTR_VERSION = 2;
const XATTR_HEADER = 4;
const XATTR_ENTRY = 8;
const DISK_HEADER = 4;
const DISK_ENTRY = 12;
/** Most entries (XFS_ACL_MAX_ENTRIES). */
const ACL_MAX = Math.floor((XATTR_SIZE_MAX - DISK_HEADER) / DISK_ENTRY);

export interface AclEntry {
  /** ACL_TAG. */
  readonly tag: number;
  /** Read, write, execute: 4, 2, 1. */
  readonly perm: number;
  /** Of USER and GROUP entries; else undefined. */
  readonly id: number | undefined;
}

const hasId = (tag: number): boolean => tag === ACL_TAG.USER || tag === ACL_TAG.GROUP;

/** Entries of Linux's attribute; undefined where the bytes are none. */
export function aclFromXattr(value: Uint8Array): AclEntry[] | undefined {
  if (value.length < XATTR_HEADER || (value.length - XATTR_HEADER) % XATTR_ENTRY !== 0) return undefined;
  const v = viewOf(value);
  if (v.getUint32(0, true) !== XATTR_VERSION) return undefined;
  const out: AclEntry[] = [];
  for (let at = XATTR_HEADER; at < value.length; at += XATTR_ENTRY) {
    const tag = v.getUint16(at, true);
    const perm = v.getUint16(at + 2, true);
    out.push({ tag, perm, id: hasId(tag) ? v.getUint32(at + 4, true) : undefined });
  }
  return out;
}

export function aclToXattr(entries: readonly AclEntry[]): Uint8Array {
  const bytes = new Uint8Array(XATTR_HEADER + entries.length * XATTR_ENTRY);
  const v = viewOf(bytes);
  v.setUint32(0, XATTR_VERSION, true);
  entries.forEach((e, i) => {
    const at = XATTR_HEADER + i * XATTR_ENTRY;
    v.setUint16(at, e.tag, true);
    v.setUint16(at + 2, e.perm, true);
    v.setUint32(at + 4, e.id ?? UNDEFINED_ID, true);
  });
  return bytes;
}

/** Entries as XFS keeps them; undefined where the bytes are no ACL. */
export function aclFromDisk(value: Uint8Array): AclEntry[] | undefined {
  if (value.length < DISK_HEADER) return undefined;
  const v = viewOf(value);
  const count = v.getUint32(0);
  if (value.length !== DISK_HEADER + count * DISK_ENTRY) return undefined;
  const out: AclEntry[] = [];
  for (let i = 0; i < count; i++) {
    const at = DISK_HEADER + i * DISK_ENTRY;
    const tag = v.getUint32(at);
    out.push({ tag, perm: v.getUint16(at + 8), id: hasId(tag) ? v.getUint32(at + 4) : undefined });
  }
  return out;
}

/** Whether an attribute of these flags and this name holds an ACL. */
export function isAclName(flags: number, name: Uint8Array): boolean {
  if ((flags & ATTR_FLAG.ROOT) === 0 || name[0] !== 0x53) return false;
  const text = bytesToText(name);
  return text === SGI_ACL_FILE || text === SGI_ACL_DEFAULT;
}

/** Whether a value can be an ACL on disk. */
export function isAclValue(value: Uint8Array): boolean {
  const entries = aclFromDisk(value);
  return entries !== undefined && aclProblem(sortAcl(entries)) === undefined;
}

export function aclToDisk(entries: readonly AclEntry[]): Uint8Array {
  const bytes = new Uint8Array(DISK_HEADER + entries.length * DISK_ENTRY);
  const v = viewOf(bytes);
  v.setUint32(0, entries.length);
  entries.forEach((e, i) => {
    const at = DISK_HEADER + i * DISK_ENTRY;
    v.setUint32(at, e.tag);
    v.setUint32(at + 4, e.id ?? UNDEFINED_ID);
    v.setUint16(at + 8, e.perm);
  });
  return bytes;
}

/** By tag and id, as they are kept. */
export const sortAcl = (entries: readonly AclEntry[]): AclEntry[] =>
  [...entries].sort((a, b) => a.tag - b.tag || (a.id ?? 0) - (b.id ?? 0));

/** Why sorted entries are no ACL that Linux takes (posix_acl_valid); undefined where they are one. */
export function aclProblem(acl: readonly AclEntry[]): string | undefined {
  const count = (tag: number): number => acl.filter((e) => e.tag === tag).length;
  const named = count(ACL_TAG.USER) + count(ACL_TAG.GROUP);
  for (const tag of [ACL_TAG.USER_OBJ, ACL_TAG.GROUP_OBJ, ACL_TAG.OTHER])
    if (count(tag) !== 1) return 'an ACL has one entry each for user::, group:: and other::';
  if (count(ACL_TAG.MASK) !== 1 && (named > 0 || count(ACL_TAG.MASK) > 1))
    return 'an ACL with named users or groups has one mask::';
  if (acl.length > ACL_MAX) return `an ACL of ${acl.length} entries: at most ${ACL_MAX}`;
  for (const [i, e] of acl.entries()) {
    const before = acl[i - 1];
    if (before !== undefined && before.tag === e.tag && before.id === e.id)
      return 'an ACL names a user or group twice';
    if (!Object.values<number>(ACL_TAG).includes(e.tag) || (e.perm & ~7) !== 0)
      return 'an ACL with an unknown entry';
  }
  return undefined;
}

const LETTERS: Record<string, number> = { r: 4, w: 2, x: 1, '-': 0 };

/**
 * Entries of an ACL in text: "user::rwx,group::r-x,group:users:r--,other::r--" with names, numbers, or a name
 * followed by ":" and its number (as tar archives write it). A name without a number is looked up by `idOf`.
 * Undefined where the text is no ACL.
 */
export function aclFromText(
  text: string,
  idOf: (kind: 'user' | 'group', name: string) => number | undefined,
): AclEntry[] | undefined {
  const out: AclEntry[] = [];
  for (const raw of text.split(/[,\n]/)) {
    const item = raw.replace(/#.*/, '').trim();
    if (item === '') continue;
    const [kind, name = '', perms = '', number] = item.split(':');
    if (!/^[rwx-]{1,3}$/.test(perms)) return undefined;
    let perm = 0;
    for (const c of perms) perm |= LETTERS[c];
    const user = kind === 'user' || kind === 'u';
    if (user || kind === 'group' || kind === 'g') {
      if (name === '') {
        out.push({ tag: user ? ACL_TAG.USER_OBJ : ACL_TAG.GROUP_OBJ, perm, id: undefined });
        continue;
      }
      const given = number ?? name;
      const id = /^\d+$/.test(given) ? Number(given) : idOf(user ? 'user' : 'group', name);
      if (id === undefined || id >= UNDEFINED_ID) return undefined;
      out.push({ tag: user ? ACL_TAG.USER : ACL_TAG.GROUP, perm, id });
    } else if (kind === 'mask' || kind === 'm') out.push({ tag: ACL_TAG.MASK, perm, id: undefined });
    else if (kind === 'other' || kind === 'o') out.push({ tag: ACL_TAG.OTHER, perm, id: undefined });
    else return undefined;
  }
  if (out.length === 0) return undefined;
  return sortAcl(out);
}

/** "user::rwx,user:1000:r--,group::r-x,mask::r-x,other::r--" */
export function aclToText(entries: readonly AclEntry[]): string {
  const kinds: Record<number, string> = {
    [ACL_TAG.USER_OBJ]: 'user',
    [ACL_TAG.USER]: 'user',
    [ACL_TAG.GROUP_OBJ]: 'group',
    [ACL_TAG.GROUP]: 'group',
    [ACL_TAG.MASK]: 'mask',
    [ACL_TAG.OTHER]: 'other',
  };
  return entries
    .map((e) => {
      const perms = `${e.perm & 4 ? 'r' : '-'}${e.perm & 2 ? 'w' : '-'}${e.perm & 1 ? 'x' : '-'}`;
      return `${kinds[e.tag] ?? e.tag}:${e.id ?? ''}:${perms}`;
    })
    .join(',');
}
