/** `dedupe`: what came of each file. */
import { table, text, uint } from '../table.js';

export const DEDUPE = table('dedupe', 'a file that was looked at for blocks equal to others', {
  bytes: uint('bytes of blocks that hold data'),
  known: uint('of those, bytes it shared with a file before it already'),
  shared: uint('bytes it shares now with blocks seen before'),
  holes: uint('bytes of zeros given back'),
  path: text('path in the image'),
});
