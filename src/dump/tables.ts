/** Every table there is, by name. */
import { BTREE_BLOCKS, BTREE_TABLES } from './btree.js';
import { EXTENTS, SHARED_PATHS } from './extents.js';
import { FILES } from './files.js';
import { AGF_FIELDS, AGFL_FIELDS, AGI_FIELDS, SB } from './headers.js';
import { INFO } from './info.js';
import { INODE } from './inode.js';
import { INODES } from './inodes.js';
import { ATTR, DIR } from './names.js';
import { DEDUPE } from './rows/dedupe.js';
import { DU } from './rows/du.js';
import { FINDINGS } from './rows/findings.js';
import { LOG_ITEMS, LOG_RECORDS, LOG_STATUS, LOG_TRANSACTIONS } from './rows/log.js';
import { MAP } from './rows/usage.js';
import type { Table } from './table.js';
import { FREE, REFCOUNT, RMAP } from './trees.js';

export const TABLES: ReadonlyMap<string, Table> = new Map(
  [
    SB,
    AGF_FIELDS,
    AGI_FIELDS,
    AGFL_FIELDS,
    INODE,
    EXTENTS,
    REFCOUNT,
    RMAP,
    FREE,
    INODES,
    DIR,
    ATTR,
    SHARED_PATHS,
    ...Object.values(BTREE_TABLES),
    BTREE_BLOCKS,
    FILES,
    INFO,
    DU,
    MAP,
    LOG_STATUS,
    LOG_RECORDS,
    LOG_TRANSACTIONS,
    LOG_ITEMS,
    DEDUPE,
    FINDINGS,
  ].map((table: Table): [string, Table] => [table.name, table]),
);
