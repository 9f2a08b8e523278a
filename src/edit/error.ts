/** Why an edit was refused: nothing of it was done. */
import { showBytes } from '../format/text.js';

const REASON = {
  ENOENT: 'no such file or directory in this image',
  ENOTDIR: 'not a directory',
  EISDIR: 'is a directory',
  EEXIST: 'exists already',
  ENOTEMPTY: 'the directory is not empty',
  ENAMETOOLONG: 'a name of more than 255 bytes',
  EINVAL: 'not a name an entry can have',
  EPERM: 'the file is immutable or append-only (dump IMAGE inode shows its flags)',
  EMLINK: 'too many links',
  EXDEV: 'the directory belongs to another project',
  ENODATA: 'no such attribute',
  EFBIG: 'too large for a file',
} as const;

export type EditCode = keyof typeof REASON;

/** A path an edit cannot do what was asked with, for the reason an operating system would give. */
export class EditError extends Error {
  readonly code: EditCode;
  readonly path: Uint8Array;

  /** `why`: in other words than the code's usual ones. */
  constructor(code: EditCode, path: Uint8Array, why: string = REASON[code]) {
    super(`${showBytes(path)}: ${why}`);
    this.name = 'EditError';
    this.code = code;
    this.path = path;
  }
}
