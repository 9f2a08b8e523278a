/** di_mode and the inode's flags as people write them. */
import { DIFLAG, DIFLAG2, S_IF, S_IFMT } from './dinode.js';

export const FILE_TYPES = ['file', 'dir', 'symlink', 'fifo', 'socket', 'block', 'char', 'unknown'] as const;
export type FileType = (typeof FILE_TYPES)[number];

const TYPE_OF = new Map<number, FileType>([
  [S_IF.REG, 'file'],
  [S_IF.DIR, 'dir'],
  [S_IF.LNK, 'symlink'],
  [S_IF.FIFO, 'fifo'],
  [S_IF.SOCK, 'socket'],
  [S_IF.BLK, 'block'],
  [S_IF.CHR, 'char'],
]);

/** The type of file a mode says. */
export const fileType = (mode: number): FileType => TYPE_OF.get(mode & S_IFMT) ?? 'unknown';

/** The type of file a directory entry says: 'unknown' where it does not. */
export const fileTypeOfFtype = (ftype: number): FileType => FTYPES[ftype] ?? 'unknown';
const FTYPES: readonly FileType[] = ['unknown', 'file', 'dir', 'char', 'block', 'fifo', 'socket', 'symlink'];

const LETTER: Record<FileType, string> = {
  file: '-',
  dir: 'd',
  symlink: 'l',
  fifo: 'p',
  socket: 's',
  block: 'b',
  char: 'c',
  unknown: '?',
};

/** As `ls -l` shows a mode: "-rwxr-sr-t". */
export function modeString(mode: number): string {
  let s = LETTER[fileType(mode)];
  for (const shift of [6, 3, 0]) {
    const bits = (mode >> shift) & 7;
    s += bits & 4 ? 'r' : '-';
    s += bits & 2 ? 'w' : '-';
    // setuid, setgid and sticky share a column with the execute bit of user, group and others.
    const special = (mode >> (9 + shift / 3)) & 1;
    const letter = shift === 0 ? 't' : 's';
    if (special) s += bits & 1 ? letter : letter.toUpperCase();
    else s += bits & 1 ? 'x' : '-';
  }
  return s;
}

/** Names of the flags set in di_flags and di_flags2, in bit order: 'immutable', 'reflink', ... */
export function flagNames(flags: number, flags2: number): string[] {
  const out: string[] = [];
  for (const [name, bit] of Object.entries(DIFLAG)) if (flags & bit) out.push(name.toLowerCase());
  for (const [name, bit] of Object.entries(DIFLAG2)) if (flags2 & bit) out.push(name.toLowerCase());
  return out;
}

/** Every name `flagNames` can give. */
export const FLAG_NAMES: readonly string[] = flagNames(-1, -1);
