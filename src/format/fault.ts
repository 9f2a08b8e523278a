/**
 * What is wrong with a structure: a corrupt byte is data, so verifiers describe it instead of throwing.
 * `CorruptionError` carries a fault to a caller that cannot go on without the structure.
 */
export interface Fault {
  /** Which structure: 'agf', 'bnobt', 'dinode', 'dir block', ... */
  readonly structure: string;
  readonly agno?: number;
  /** Block within the AG. */
  readonly agbno?: number;
  readonly ino?: number;
  /** Field name as xfs_db prints it; records carry their index: `recs[3].startblock`. */
  readonly field: string;
  /** What stands there. */
  readonly value: string | number | bigint;
  /** What could be true: a value, a range, a relation. */
  readonly expected: string;
}

/** Takes each fault a verifier finds. */
export type Report = (fault: Fault) => void;

/** Where a structure stands, for its faults. */
export type Where = Pick<Fault, 'agno' | 'agbno' | 'ino'>;

/** One line: "agf (AG 2 block 0): freeblks is 17, expected at most 16" */
export function describeFault(f: Fault): string {
  const where: string[] = [];
  if (f.ino !== undefined) where.push(`inode ${f.ino}`);
  if (f.agno !== undefined) where.push(`AG ${f.agno}`);
  if (f.agbno !== undefined) where.push(`block ${f.agbno}`);
  const place = where.length > 0 ? ` (${where.join(' ')})` : '';
  return `${f.structure}${place}: ${f.field} is ${f.value}, expected ${f.expected}`;
}

/** A structure the caller cannot go on without does not verify. */
export class CorruptionError extends Error {
  readonly fault: Fault;
  constructor(fault: Fault) {
    super(describeFault(fault));
    this.name = 'CorruptionError';
    this.fault = fault;
  }
}

/** Throws the first fault. */
export const throwFault: Report = (fault) => {
  throw new CorruptionError(fault);
};

export const hex = (value: number): string => `0x${value.toString(16)}`;
