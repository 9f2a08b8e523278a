/** Extended attributes set and removed by the names Linux gives them; ACLs in Linux's form or as text. */
import {
  type AclEntry,
  aclFromText,
  aclFromXattr,
  aclProblem,
  POSIX_ACL_ACCESS,
  POSIX_ACL_DEFAULT,
  sortAcl,
} from '../format/acl.js';
import { NAMESPACE_FLAG, XATTR_SIZE_MAX } from '../format/attr.js';
import { S_IF } from '../format/dinode.js';
import { bytesToText, showBytes } from '../format/text.js';
import { getAttr, removeAttr, setAttr } from '../transaction/attr.js';
import type { LiveInode } from '../transaction/inode.js';
import { type Edit, type Path, pathBytes } from './edit.js';
import { EditError } from './error.js';
import { ACL_NAME, isPlain, modeShift, setAcl } from './inherit.js';
import { checkFlags, markChanged } from './inode.js';

/** An attribute by what the filesystem keeps: a namespace and a name in it, or one of the ACLs. */
type Attr =
  | { readonly kind: 'plain'; readonly flags: number; readonly name: Uint8Array; readonly user: boolean }
  | { readonly kind: 'acl'; readonly which: keyof typeof ACL_NAME };

/** What a full name means: "user.x", "trusted.x", "security.x", "system.posix_acl_access" or "..._default". */
function parseName(full: Uint8Array, path: Uint8Array): Attr {
  const text = bytesToText(full);
  if (text === `system.${POSIX_ACL_ACCESS}`) return { kind: 'acl', which: 'access' };
  if (text === `system.${POSIX_ACL_DEFAULT}`) return { kind: 'acl', which: 'default' };
  const dot = full.indexOf(0x2e);
  const space = dot < 0 ? '' : bytesToText(full.subarray(0, dot));
  const no = (why: string): never => {
    throw new EditError('EINVAL', path, `attribute ${showBytes(full)}: ${why}`);
  };
  if (space !== 'user' && space !== 'trusted' && space !== 'security')
    return no('a name begins with user., trusted. or security., or is system.posix_acl_access or _default');
  const name = full.subarray(dot + 1);
  if (name.length < 1 || name.length > 255 || name.includes(0))
    no('behind its namespace a name has 1 to 255 bytes, none of them zero');
  return { kind: 'plain', flags: NAMESPACE_FLAG[space], name, user: space === 'user' };
}

export interface XattrOptions {
  /** A link at the end of the path itself. */
  readonly noDereference?: boolean;
  /** Fail where it is there already, or is not. */
  readonly only?: 'create' | 'replace';
}

/**
 * Sets an attribute. `name` is the full one. Of an ACL the value is Linux's binary form or text such as
 * "user::rw-,user:1000:r--,group::r--,mask::r--,other::---", and an access ACL sets the permissions too.
 * Throws PathError, EditError, NoSpaceError.
 */
export function setXattr(
  edit: Edit,
  path: Path,
  name: Uint8Array,
  value: Uint8Array,
  options: XattrOptions = {},
): void {
  const bytes = pathBytes(path);
  const attr = parseName(name, bytes);
  const inode = edit.resolve(path, { follow: options.noDereference !== true });
  checkFlags(inode, bytes);
  if (attr.kind === 'acl') {
    const acl = parseAcl(inode, attr.which, value, bytes);
    if (attr.which === 'access') setAccess(edit, inode, acl);
    else
      edit.run((tx, now) => {
        markChanged(tx, inode, now);
        setAcl(tx, inode, 'default', acl);
      });
    return;
  }
  if (value.length > XATTR_SIZE_MAX)
    throw new EditError(
      'EINVAL',
      bytes,
      `attribute ${showBytes(name)} has ${value.length} bytes: at most ${XATTR_SIZE_MAX}`,
    );
  checkKind(attr, inode, bytes);
  if (options.only !== undefined) {
    const there = getAttr(edit.engine.begin(), inode, attr.flags, attr.name) !== undefined;
    if (there && options.only === 'create')
      throw new EditError('EEXIST', bytes, `attribute ${showBytes(name)} exists already`);
    if (!there && options.only === 'replace') missing(bytes, name);
  }
  edit.run((tx, now) => {
    markChanged(tx, inode, now);
    setAttr(tx, inode, attr.flags, attr.name, value);
  });
}

/** Sets an access ACL, and the permissions it says; one that says no more than those is not kept. */
function setAccess(edit: Edit, inode: LiveInode, acl: readonly AclEntry[]): void {
  edit.run((tx, now) => {
    let { mode } = inode;
    for (const e of acl) {
      const shift = modeShift(acl, e.tag);
      if (shift !== undefined) mode = (mode & ~(7 << shift)) | (e.perm << shift);
    }
    if (isPlain(acl)) {
      const had = removeAttr(tx, inode, NAMESPACE_FLAG.trusted, ACL_NAME.access);
      if (!had && mode === inode.mode) return;
    } else setAcl(tx, inode, 'access', acl);
    markChanged(tx, inode, now);
    inode.setMode(mode);
  });
}

/** As Linux has it, where there are none nobody removes any either. */
function checkKind(attr: { readonly user?: boolean }, inode: LiveInode, path: Uint8Array): void {
  if (attr.user === true && inode.type !== S_IF.REG && !inode.isDir)
    throw new EditError('EINVAL', path, 'attributes of users are for files and directories only');
}

function missing(path: Uint8Array, name: Uint8Array): never {
  throw new EditError('ENODATA', path, `no attribute ${showBytes(name)}`);
}

/** Removes an attribute. Throws PathError, EditError where it is not there. */
export function removeXattr(edit: Edit, path: Path, name: Uint8Array, options: XattrOptions = {}): void {
  const bytes = pathBytes(path);
  const attr = parseName(name, bytes);
  const inode = edit.resolve(path, { follow: options.noDereference !== true });
  checkFlags(inode, bytes);
  if (attr.kind !== 'acl') checkKind(attr, inode, bytes);
  const flags = attr.kind === 'acl' ? NAMESPACE_FLAG.trusted : attr.flags;
  const stored = attr.kind === 'acl' ? ACL_NAME[attr.which] : attr.name;
  if (getAttr(edit.engine.begin(), inode, flags, stored) === undefined) missing(bytes, name);
  edit.run((tx, now) => {
    markChanged(tx, inode, now);
    removeAttr(tx, inode, flags, stored);
  });
}

/** An ACL as it was given, valid and in order (posix_acl_valid). */
function parseAcl(
  inode: LiveInode,
  which: keyof typeof ACL_NAME,
  value: Uint8Array,
  path: Uint8Array,
): AclEntry[] {
  const no = (why: string): never => {
    throw new EditError('EINVAL', path, why);
  };
  if (inode.type === S_IF.LNK) no('a symbolic link has no ACL');
  if (which === 'default' && !inode.isDir) no('only a directory has a default ACL');
  const acl = aclFromXattr(value) ?? aclFromText(bytesToText(value), () => undefined);
  if (acl === undefined || acl.length === 0)
    return no(
      'not an ACL: text such as user::rw-,user:1000:r--,group::r--,mask::r--,other::--- with numbers for names',
    );
  const sorted = sortAcl(acl);
  const problem = aclProblem(sorted);
  return problem === undefined ? sorted : no(problem);
}
