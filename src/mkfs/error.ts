/** What mkfs refuses, and why: the command line's exit status follows from `kind`. */
export type MkfsRefusal =
  /** An option's value, or options that do not go together. */
  | 'options'
  /** A filesystem or partition table is there and -f was not given. */
  | 'exists'
  /** Mounted or attached to a loop device. */
  | 'in-use'
  /** The image cannot be opened, sized or written. */
  | 'image'
  /** The files to be put in do not fit. */
  | 'space'
  /** The files to be put in cannot be read or held. */
  | 'source';

export class MkfsError extends Error {
  readonly kind: MkfsRefusal;
  constructor(kind: MkfsRefusal, message: string) {
    super(message);
    this.name = 'MkfsError';
    this.kind = kind;
  }
}

/** A refused option: always one line that names option, value and what could be. */
export const badOption = (message: string): MkfsError => new MkfsError('options', message);
