/**
 * What a new file takes over from its directory: project, flags, extent size hints, group and setgid bit,
 * default ACL. Rules: xfs_inode.c (xfs_inode_inherit_flags), inode_init_owner, posix_acl_create.
 */
import {
  ACL_TAG,
  type AclEntry,
  aclFromDisk,
  aclToDisk,
  SGI_ACL_DEFAULT,
  SGI_ACL_FILE,
} from '../format/acl.js';
import { ATTR_FLAG } from '../format/attr.js';
import { DIFLAG, DIFLAG2, S_IF, S_IFMT } from '../format/dinode.js';
import { CorruptionError } from '../format/fault.js';
import { getAttr, setAttr } from '../transaction/attr.js';
import type { LiveInode } from '../transaction/inode.js';
import type { Transaction } from '../transaction/transaction.js';

export const ACL_NAME = {
  access: Buffer.from(SGI_ACL_FILE),
  default: Buffer.from(SGI_ACL_DEFAULT),
} as const;

export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;

/** Flags files and directories inherit as they are. */
const COMMON = DIFLAG.NOATIME | DIFLAG.NODUMP | DIFLAG.SYNC | DIFLAG.NODEFRAG | DIFLAG.FILESTREAM;

export interface Inherited {
  readonly flags: number;
  readonly flags2: number;
  readonly extsize: number;
  readonly cowextsize: number;
  readonly projid: number;
}

/** Of flags, hints and project of `dir`, what a new file of mode `mode` in it gets. */
export function inheritFrom(dir: LiveInode, mode: number): Inherited {
  const type = mode & S_IFMT;
  const projid = dir.flags & DIFLAG.PROJINHERIT ? dir.projid : 0;
  if (type !== S_IF.REG && type !== S_IF.DIR)
    return { flags: 0, flags2: 0, extsize: 0, cowextsize: 0, projid };
  let flags = dir.flags & COMMON;
  if (type === S_IF.DIR) flags |= dir.flags & (DIFLAG.RTINHERIT | DIFLAG.EXTSZINHERIT | DIFLAG.PROJINHERIT);
  else if (dir.flags & DIFLAG.EXTSZINHERIT) flags |= DIFLAG.EXTSIZE;
  return {
    flags,
    flags2: dir.flags2 & (DIFLAG2.COWEXTSIZE | DIFLAG2.DAX),
    extsize: flags & (DIFLAG.EXTSIZE | DIFLAG.EXTSZINHERIT) ? dir.extsize : 0,
    cowextsize: dir.flags2 & DIFLAG2.COWEXTSIZE ? dir.cowextsize : 0,
    projid,
  };
}

/** An ACL as the inode has it; undefined where it has none. Throws CorruptionError. */
export function aclOf(
  tx: Transaction,
  inode: LiveInode,
  which: keyof typeof ACL_NAME,
): AclEntry[] | undefined {
  const value = getAttr(tx, inode, ATTR_FLAG.ROOT, ACL_NAME[which]);
  if (value === undefined) return undefined;
  const acl = aclFromDisk(value);
  if (acl !== undefined) return acl;
  throw new CorruptionError({
    structure: 'attribute',
    ino: inode.ino,
    field: ACL_NAME[which].toString(),
    value: `${value.length} bytes`,
    expected: 'an ACL',
  });
}

export const setAcl = (
  tx: Transaction,
  inode: LiveInode,
  which: keyof typeof ACL_NAME,
  acl: readonly AclEntry[],
): void => setAttr(tx, inode, ATTR_FLAG.ROOT, ACL_NAME[which], aclToDisk(acl));

/** Whether the permissions alone say all that an ACL says. */
export const isPlain = (acl: readonly AclEntry[]): boolean =>
  acl.every((e) => e.tag === ACL_TAG.USER_OBJ || e.tag === ACL_TAG.GROUP_OBJ || e.tag === ACL_TAG.OTHER);

/** Which bits of a mode an entry stands for; undefined for those it does not (xfs: posix_acl.c). */
export function modeShift(acl: readonly AclEntry[], tag: number): number | undefined {
  if (tag === ACL_TAG.USER_OBJ) return 6;
  if (tag === ACL_TAG.OTHER) return 0;
  const masked = acl.some((e) => e.tag === ACL_TAG.MASK);
  return tag === (masked ? ACL_TAG.MASK : ACL_TAG.GROUP_OBJ) ? 3 : undefined;
}

/** An access ACL made of a default one for a file created with `mode`, and the mode that comes of it. */
export function applyDefault(acl: readonly AclEntry[], mode: number): { acl: AclEntry[]; mode: number } {
  let out = mode & ~0o777;
  const entries = acl.map((e) => {
    const shift = modeShift(acl, e.tag);
    if (shift === undefined) return e;
    const perm = e.perm & (mode >> shift);
    out |= perm << shift;
    return { ...e, perm };
  });
  return { acl: entries, mode: out };
}

/** An access ACL after chmod (posix_acl_chmod). */
export const chmodAcl = (acl: readonly AclEntry[], mode: number): AclEntry[] =>
  acl.map((e) => {
    const shift = modeShift(acl, e.tag);
    return shift === undefined ? e : { ...e, perm: (mode >> shift) & 7 };
  });
