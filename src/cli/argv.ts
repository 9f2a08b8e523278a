/** The command line to the byte: names in an image need not be UTF-8, and Node's arguments are. */
import { readFileSync } from 'node:fs';
import { bytesToText } from '../format/text.js';

const REPLACEMENT = '\ufffd';

/**
 * The arguments with bytes that are no UTF-8 kept as format/text.ts keeps them. Node has put U+FFFD in their
 * place; on Linux the kernel still knows them. Elsewhere, and where nothing is lost, the arguments as they are.
 */
export function exactArguments(argv: string[]): string[] {
  if (!argv.some((a) => a.includes(REPLACEMENT))) return argv;
  let whole: Buffer;
  try {
    whole = readFileSync('/proc/self/cmdline');
  } catch {
    return argv;
  }
  const all: Buffer[] = [];
  for (let from = 0; from < whole.length; ) {
    const to = whole.indexOf(0, from);
    all.push(whole.subarray(from, to < 0 ? whole.length : to));
    from = to < 0 ? whole.length : to + 1;
  }
  // Node's own options stand before ours.
  const ours = all.slice(-argv.length);
  if (!ours.every((b, i) => b.toString('utf8') === argv[i])) return argv;
  return ours.map(bytesToText);
}
