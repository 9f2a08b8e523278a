/** Permissions as the command line gives them. */
import { InvalidArgumentError } from 'commander';

/** An octal mode of up to four digits, for options. */
export function octalMode(value: string): number {
  if (!/^[0-7]{1,4}$/.test(value)) throw new InvalidArgumentError('An octal mode such as 755 is expected.');
  return Number.parseInt(value, 8);
}
