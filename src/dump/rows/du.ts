/** What a row of `du` is. */
import { table, text, uint } from '../table.js';

export const DU = table('du', 'a file or directory and the bytes of data it takes', {
  total: uint('bytes its files map; what two of them share counts twice'),
  exclusive: uint('bytes that deleting it would free'),
  shared: uint('bytes of total that have another owner too'),
  set_shared: uint('the same, each block counted once'),
  path: text('path in the image'),
});
