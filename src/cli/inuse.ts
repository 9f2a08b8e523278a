/** Images that something else may be writing to are left alone. */
import { imageInUse } from '../image/inuse.js';
import { CliError, EXIT } from './errors.js';

/** Throws CliError where the image is mounted or attached to a loop device, unless `force`. */
export function refuseInUse(path: string, force: boolean | undefined, does = 'writes to'): void {
  const use = force === true ? undefined : imageInUse(path);
  if (use !== undefined)
    throw new CliError(`${path}: ${use}; --force ${does} it all the same`, EXIT.UNUSABLE);
}
