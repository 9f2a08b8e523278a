/** Files of an image as the command line names them: by path, or with --inum by number. */
import { textToBytes } from '../format/text.js';
import { type Inode, readInode } from '../volume/inode.js';
import { PathError, resolvePath } from '../volume/path.js';
import type { Volume } from '../volume/volume.js';
import type { Damage } from './damage.js';
import { CliError, EXIT } from './errors.js';

export interface OperandOptions {
  inum?: boolean;
}

/** The inode an operand names; undefined where there is none, which is shown. */
export function findOperand(
  volume: Volume,
  operand: string,
  damage: Damage,
  options: OperandOptions & { follow?: boolean } = {},
): Inode | undefined {
  return damage.guard(() => {
    if (options.inum === true) return readInode(volume, inodeNumber(operand));
    try {
      return resolvePath(volume, textToBytes(operand), options);
    } catch (error) {
      if (!(error instanceof PathError)) throw error;
      damage.line(error.message);
      return undefined;
    }
  });
}

/** A number from the command line. Throws CliError for anything else. */
export function inodeNumber(operand: string): number {
  const n = Number(operand);
  if (!/^\d+$/.test(operand) || !Number.isSafeInteger(n))
    throw new CliError(`--inum: '${operand}' is no inode number`, EXIT.USAGE);
  return n;
}

/** Operands of which the last is where the others go. `many`: there may be several of them. Throws CliError. */
export function lastOperand(operands: readonly string[], many: boolean): { paths: string[]; last: string } {
  const paths = operands.slice(0, -1);
  if (paths.length === 0) throw new CliError('a second operand is needed: where it goes', EXIT.USAGE);
  if (paths.length > 1 && !many) throw new CliError('with -T there are two operands', EXIT.USAGE);
  return { paths, last: operands[operands.length - 1] };
}
