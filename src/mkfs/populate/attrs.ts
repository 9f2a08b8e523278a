/** Attributes from their full names to what XFS stores. */
import type { NewAttr } from '../../build/attr.js';
import {
  aclFromXattr,
  aclProblem,
  aclToDisk,
  POSIX_ACL_ACCESS,
  POSIX_ACL_DEFAULT,
  SGI_ACL_DEFAULT,
  SGI_ACL_FILE,
  sortAcl,
} from '../../format/acl.js';
import { ATTR_FLAG, XATTR_SIZE_MAX } from '../../format/attr.js';
import { type SourceXattr, showPath, sourceError } from './tree.js';

const PREFIXES: readonly (readonly [string, number])[] = [
  ['user.', 0],
  ['trusted.', ATTR_FLAG.ROOT],
  ['security.', ATTR_FLAG.SECURE],
];

/**
 * The attribute as stored; undefined for one XFS has no room for (other namespaces), or that stands for
 * another (an XFS's own form of an ACL beside the ACL). Throws MkfsError for one no XFS could hold.
 *
 * @param where path, for messages
 */
export function storedAttr(
  x: SourceXattr,
  all: readonly SourceXattr[],
  where: () => string,
): NewAttr | undefined {
  const name = Buffer.from(x.name.buffer, x.name.byteOffset, x.name.length).toString('latin1');
  if (x.value.length > XATTR_SIZE_MAX)
    throw sourceError(
      `${where()}: attribute ${showPath(x.name)} has ${x.value.length} bytes; XFS holds ${XATTR_SIZE_MAX}`,
    );
  const acl =
    name === `system.${POSIX_ACL_ACCESS}`
      ? SGI_ACL_FILE
      : name === `system.${POSIX_ACL_DEFAULT}`
        ? SGI_ACL_DEFAULT
        : undefined;
  if (acl !== undefined) {
    const entries = aclFromXattr(x.value);
    if (entries === undefined) throw sourceError(`${where()}: attribute ${name} is no ACL`);
    if (entries.length === 0) return undefined;
    const sorted = sortAcl(entries);
    const problem = aclProblem(sorted);
    if (problem !== undefined) throw sourceError(`${where()}: attribute ${name}: ${problem}`);
    return { flags: ATTR_FLAG.ROOT, name: Buffer.from(acl), value: aclToDisk(sorted) };
  }
  const twin =
    name === `trusted.${SGI_ACL_FILE}`
      ? POSIX_ACL_ACCESS
      : name === `trusted.${SGI_ACL_DEFAULT}`
        ? POSIX_ACL_DEFAULT
        : undefined;
  if (twin !== undefined && all.some((a) => Buffer.from(a.name).toString('latin1') === `system.${twin}`))
    return undefined;
  for (const [prefix, flags] of PREFIXES) {
    if (!name.startsWith(prefix)) continue;
    const rest = x.name.subarray(prefix.length);
    if (rest.length < 1 || rest.length > 255)
      throw sourceError(
        `${where()}: attribute ${showPath(x.name)} has a name of ${rest.length} bytes: 1 to 255`,
      );
    return { flags, name: rest, value: x.value };
  }
  return undefined;
}
