/** What an intent without its done-item has recovery do, in words: a line an extent. */
import { RMAP_OWNER_NAME } from '../../format/btree.js';
import { agbnoOfFsblock, agnoOfFsblock, type Geometry } from '../../format/geometry.js';
import { ATTRI_OP_NAME, BMAP_EXTENT, EXTENT_OP_MASK, LI, RMAP_EXTENT } from '../../format/logitems.js';
import { itemName } from '../../journal/decode.js';
import { attrIntent, freeExtents, type MapExtent, mapExtents, physExtents } from '../../journal/items.js';
import type { LogItem } from '../../journal/logitem.js';

/** Operations as recovery does them; the numbers are those of RMAP_OP_NAME and its like. */
const RMAP_WORDS: Record<number, string> = {
  1: 'records them as',
  2: 'records them, shared, as',
  3: 'removes the record of them as',
  4: 'removes the record of them, shared, as',
  5: 'records another state of them as',
  6: 'records another state of them, shared, as',
  7: 'records them as',
  8: 'removes the record of them as',
};
const REFCOUNT_WORDS: Record<number, string> = {
  1: 'gives them one more owner',
  2: 'takes one owner from them, and frees those that have none left',
  3: 'records that they are held for a copy on write',
  4: 'removes the record that they are held for a copy on write',
};
const BMAP_WORDS: Record<number, string> = { 1: 'maps them as', 2: 'unmaps them from' };

const has = (flags: number, bit: number): boolean => Math.floor(flags / bit) % 2 === 1;

export function intentWords(g: Geometry, item: LogItem): string[] {
  const blocks = (start: number, n: number): string => {
    const agbno = agbnoOfFsblock(g, start);
    const which = n === 1 ? `block ${agbno}` : `blocks ${agbno} to ${agbno + n - 1}`;
    return `AG ${agnoOfFsblock(g, start)}, ${which}`;
  };
  const fileBlocks = (e: MapExtent, fork: boolean): string =>
    `${e.blocks === 1 ? `block ${e.offset}` : `blocks ${e.offset} to ${e.offset + e.blocks - 1}`} of ` +
    `${fork ? 'the attribute fork of ' : ''}inode ${e.owner}`;
  switch (item.type) {
    case LI.EFI:
      return freeExtents(item).map(
        (e) =>
          `${blocks(e.start, e.blocks)}: frees them (given up by a file, or allocated for data that no file maps)`,
      );
    case LI.RUI:
      return mapExtents(item).map((e) => {
        const special = RMAP_OWNER_NAME[e.owner];
        const bmbt = has(e.flags, RMAP_EXTENT.BMBT_BLOCK);
        const owner =
          special !== undefined
            ? `of the owner "${special}"`
            : bmbt
              ? `of the block map of inode ${e.owner}`
              : fileBlocks(e, has(e.flags, RMAP_EXTENT.ATTR_FORK));
        return `${blocks(e.start, e.blocks)}: ${RMAP_WORDS[e.flags & EXTENT_OP_MASK] ?? 'unknown'} ${owner}`;
      });
    case LI.CUI:
      return physExtents(item).map(
        (e) => `${blocks(e.start, e.blocks)}: ${REFCOUNT_WORDS[e.flags & EXTENT_OP_MASK] ?? 'unknown'}`,
      );
    case LI.BUI:
      return mapExtents(item).map(
        (e) =>
          `${blocks(e.start, e.blocks)}: ${BMAP_WORDS[e.flags & EXTENT_OP_MASK] ?? 'unknown'} ` +
          fileBlocks(e, has(e.flags, BMAP_EXTENT.ATTR_FORK)),
      );
    case LI.ATTRI: {
      const { ino, op } = attrIntent(item);
      return [`inode ${ino}: ${ATTRI_OP_NAME[op] ?? 'unknown'} an attribute`];
    }
    default:
      return [`finishes the ${itemName(item.type)} item`];
  }
}
