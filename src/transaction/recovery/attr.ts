/**
 * Attributes whose setting or removal the log announced and did not finish: on filesystems with parent pointers
 * each name of a file has one that says where the name is. Rules: xfs_attr_item.c.
 */
import { ATTR_FLAG, PARENT_REC, XATTR_SIZE_MAX } from '../../format/attr.js';
import { FORK_FORMAT } from '../../format/dinode.js';
import { ATTRI_OP, ATTRI_OP_NAME } from '../../format/logitems.js';
import { systemTime } from '../../format/time.js';
import { LogError } from '../../journal/error.js';
import { attrIntent } from '../../journal/items.js';
import type { OpenIntent } from '../../journal/status.js';
import { dropAttr, writeAttr } from '../attr.js';
import type { ShortAttr } from '../attrshort.js';
import { finishIntentBy } from '../defer.js';
import type { Engine } from '../engine.js';
import type { Intent } from '../items.js';
import type { Transaction } from '../transaction.js';

const NAMESPACES: readonly number[] = [0, ATTR_FLAG.ROOT, ATTR_FLAG.SECURE, ATTR_FLAG.PARENT];

/** Does what an ATTRI asks for. Throws LogError for one that cannot be true. */
export function finishAttr(engine: Engine, intent: Intent, { item, lsn }: OpenIntent): void {
  const a = attrIntent(item);
  const bad = (what: string): never => {
    throw new LogError(lsn, `ATTRI item to ${ATTRI_OP_NAME[a.op]} of inode ${a.ino} with ${what}`);
  };
  if (!NAMESPACES.includes(a.filter)) bad(`filter 0x${a.filter.toString(16)}`);
  const replaces = a.op === ATTRI_OP.PPTR_REPLACE;
  for (const name of replaces ? [a.name, a.newName] : [a.name])
    if (name.length === 0 || name.length > 255) bad(`a name of ${name.length} bytes`);
  const parent = a.op >= ATTRI_OP.PPTR_SET;
  if (parent !== (a.filter === ATTR_FLAG.PARENT)) bad(`filter 0x${a.filter.toString(16)}`);
  for (const value of replaces ? [a.value, a.newValue] : [a.value])
    if (parent ? value.length !== PARENT_REC.size : value.length > XATTR_SIZE_MAX)
      bad(`a value of ${value.length} bytes`);
  const inode = engine.inode(a.ino);
  if (inode.generation !== a.igen) bad(`generation ${a.igen}, where the inode has ${inode.generation}`);
  const { filter: flags, name, value } = a;
  const write = (tx: Transaction, attr: ShortAttr): void => {
    writeAttr(tx, inode, attr);
    // As xfs_attr_try_sf_addname does, which runs in recovery too; blocks of attributes are changed without it.
    if (inode.aformat === FORK_FORMAT.LOCAL) inode.setTime('ctime', systemTime());
  };
  finishIntentBy(engine, intent, (tx) => {
    switch (a.op) {
      case ATTRI_OP.SET:
      case ATTRI_OP.REPLACE:
      case ATTRI_OP.PPTR_SET:
        write(tx, { flags, name, value });
        break;
      case ATTRI_OP.REMOVE:
      case ATTRI_OP.PPTR_REMOVE:
        dropAttr(tx, inode, { flags, name, value });
        break;
      case ATTRI_OP.PPTR_REPLACE:
        dropAttr(tx, inode, { flags, name, value });
        write(tx, { flags, name: a.newName, value: a.newValue });
        break;
    }
  });
}
