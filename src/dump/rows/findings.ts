/** What repair finds, as rows. */
import { oneOf, optional, table, text, uint } from '../table.js';

export const FINDINGS = table('findings', 'something found wrong, or worth knowing, by repair', {
  code: text('what it is: stable, for scripts'),
  severity: oneOf(['damage', 'note'], 'a note is no damage'),
  agno: optional(uint('allocation group')),
  agbno: optional(uint('first block, counted from the start of the AG')),
  blocks: optional(uint('length in blocks')),
  ino: optional(uint('inode')),
  path: optional(text('a path of the inode')),
  offset: optional(uint('first block in the file')),
  message: text('what is seen and what it means'),
  action: text('what repair does about it'),
});
