/** Parent pointers against directory entries: each has a sum of what it says, equal where both say the same. */

/** The sum of an entry called block[from..to) in a directory, or of the parent pointer to it. */
export function parentSum(
  block: Uint8Array,
  from: number,
  to: number,
  dir: number,
  generation: number,
): number {
  let h = 0x811c9dc5;
  for (let i = from; i < to; i++) h = Math.imul(h ^ block[i], 0x01000193);
  for (const word of [dir >>> 0, Math.floor(dir / 2 ** 32), generation]) {
    h = Math.imul(h ^ word, 0x85ebca6b);
    h ^= h >>> 15;
  }
  return h | 0;
}
