/** The label: sb_fname, twelve bytes, the rest zeros. */
import { SUPERBLOCK } from '../format/superblock.js';
import type { Edit } from './edit.js';
import { changeSecondaries, putBytes } from './secondaries.js';

const AT = SUPERBLOCK.at.fname;
export const LABEL_BYTES = 12;

/**
 * Sets the label: of the primary superblock in a transaction, of the others behind it. `label`: at most 12
 * bytes without zeros, none to clear it. Returns the AGs whose superblocks did not verify and keep the old one.
 */
export function setLabel(edit: Edit, label: Uint8Array): number[] {
  if (label.length > LABEL_BYTES || label.includes(0)) throw new RangeError('not a label');
  const field = new Uint8Array(LABEL_BYTES);
  field.set(label);
  const { superblock } = edit.engine;
  edit.run((tx) => {
    tx.edit(superblock, AT, LABEL_BYTES);
    superblock.bytes.set(field, AT);
  });
  edit.engine.settle();
  return changeSecondaries(edit.source, edit.g, putBytes(AT, field));
}
