/** Files that commands write what they print to. */
import { openSync, statSync } from 'node:fs';
import { reason } from '../../image/source.js';
import { CliError, EXIT } from '../errors.js';
import { Output } from './output.js';

/** Whether two paths lead to one file; one that leads nowhere does not. */
export function isSameFile(a: string, b: string): boolean {
  const [one, two] = [a, b].map((path) => statSync(path, { throwIfNoEntry: false }));
  return one !== undefined && two !== undefined && one.dev === two.dev && one.ino === two.ino;
}

/** A page or a table in place of the image it tells of would be a loss. Throws CliError. */
export function refuseImage(image: string, output: string, what: string): void {
  if (isSameFile(image, output))
    throw new CliError(`${output}: this is the image itself: name another file for the ${what}`, EXIT.USAGE);
}

/** A new file, or one that is emptied, for the rows of a table of `image`. Throws CliError. */
export function openOutputFile(path: string, image: string): Output {
  try {
    refuseImage(image, path, 'rows');
    return new Output(openSync(path, 'w'), undefined, path);
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(`${path}: cannot be written: ${reason(error)}`);
  }
}
