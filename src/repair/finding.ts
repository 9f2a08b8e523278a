/** What repair finds: a verdict with the evidence it rests on and the action that follows from it. */
import { describeFault, type Fault } from '../format/fault.js';

/** `damage` counts: exit status 1. `note` is worth knowing and no damage; shown only when asked for. */
export type Severity = 'damage' | 'note';

/** One claim on a run, as evidence. */
export interface ClaimEvidence {
  /** Inode number; absent for the filesystem's own metadata. */
  ino?: number;
  path?: string;
  /** What claims: 'data', 'attr', 'dir', 'symlink', 'bmbt', 'quota', or an rmap owner ('inodes', 'log' ...). */
  kind: string;
  /** File block that maps to the first block of the run. */
  offset?: number;
  unwritten?: boolean;
  /** The claimant's reflink flag. */
  reflink?: boolean;
  /** Whether an rmap record confirms this claim; null where there is no rmap btree to ask. */
  rmap: boolean | null;
  /** Whether the claimant's own inode and mapping blocks verify. */
  verified: boolean;
  /** What repair takes this claim for. */
  verdict: 'kept' | 'corrupt' | 'undecided';
}

/** One rmap record over the run. */
export interface RmapEvidence {
  /** Inode number, or the name of a special owner. */
  owner: number | string;
  kind: 'data' | 'attr' | 'bmbt' | 'special';
  offset: number;
  unwritten: boolean;
  /** Whether the owner's own fork claims these blocks there. */
  claimed: boolean;
}

export interface Finding {
  /** Stable: scripts may depend on it. */
  code: string;
  severity: Severity;
  agno?: number;
  agbno?: number;
  blocks?: number;
  ino?: number;
  path?: string;
  /** First file block concerned. */
  offset?: number;
  /** One sentence: what is seen and what it means. */
  message: string;
  evidence?: {
    claims?: ClaimEvidence[];
    /** The refcount record over the run: null where there is none. */
    refcount?: { count: number; domain: 'shared' | 'cow' } | null;
    /** null where the filesystem has no rmap btree that verifies. */
    rmap?: RmapEvidence[] | null;
    /** What stands on the run's first block, where that tells something. */
    standing?: string;
    /** The structure's field, what stands there and what could be true. */
    field?: string;
    value?: string;
    expected?: string;
  };
  /** What repair does about it. */
  action: string;
}

/** Every code of the judge, with what it says. The verifiers' codes are `STRUCTURE.CLASS`: see `faultCode`. */
export const CODES = {
  'duplicate.corrupt':
    'a file maps blocks that are another owner’s: a corrupt duplicate reference, not sharing',
  'duplicate.metadata': 'a file maps blocks in which verified metadata stands',
  'duplicate.undecided': 'several claims on one run, and no evidence that tells the true one',
  'mapping.free': 'a file maps blocks that both free-space btrees call free',
  'mapping.lost':
    'a mapping that the file does not have any more, by the rmap btree or by blocks that have lost an owner',
  'mapping.wrong': 'a file maps blocks that the rmap btree gives to another file or another offset',
  'reflink.flag-lost': 'a file takes part in recorded sharing and its reflink flag is off',
  'reflink.flag-unneeded': 'a file with the reflink flag shares nothing',
  'refcount.missing': 'shared blocks without a refcount record',
  'refcount.low': 'a refcount record below the number of claims',
  'refcount.high': 'a refcount record above the number of claims',
  'refcount.domain': 'a refcount record in the wrong domain',
  'rmap.missing': 'blocks in use without their rmap record',
  'rmap.wrong': 'an rmap record that contradicts better evidence',
  'rmap.stale': 'an rmap record of blocks nobody claims',
  'free.overlap': 'blocks in use recorded as free',
  'free.leaked': 'blocks neither in use nor recorded as free',
  'free.trees': 'the two free-space btrees do not record the same extents',
  'inode.trees': 'the inobt and the finobt do not agree',
  'inode.links': 'a link count that is not the number of directory entries',
  'inode.lost': 'an inode in use that no directory entry and no unlinked list leads to',
  'inode.blocks': 'an inode’s block count that is not what its forks hold',
  'inode.type': 'an inode whose type and permissions are lost, told from what its forks hold',
  'inode.cleared': 'an inode of which nothing can be told any more',
  'attribute.lost': 'an extended attribute that cannot be told any more',
  'directory.entry': 'a directory entry that names an inode not in use, or of another type',
  'directory.parent': 'a directory whose ".." is not the directory that holds it',
  'parent.pointer': 'parent pointers of an inode that are not the directory entries that name it',
  'superblock.primary': 'a primary superblock that does not verify, or that its copies contradict',
  'superblock.pointer': 'an inode number, flag or unused byte of the superblock that cannot be true',
  'superblock.copy':
    'a copy of the superblock that does not verify, or that is not what the primary one says',
  'superblock.needsrepair': 'the superblock says that a repair was begun and not finished',
  'counter.wrong': 'a counter of an AG header or the superblock that is not what it counts',
} as const;

export type Code = keyof typeof CODES;

const IDENTITY = new Set(['uuid', 'owner', 'bno', 'inumber', 'seqno', 'lsn']);

/** `agf.crc`, `bnobt.magic`, `dinode.identity`, `dir-block.value` ...: structure and the class of the field. */
export function faultCode(fault: Fault): string {
  const structure = fault.structure.replaceAll(' ', '-');
  const field = fault.field.slice(fault.field.lastIndexOf('.') + 1);
  const kind =
    field === 'crc'
      ? 'crc'
      : field.startsWith('magic')
        ? 'magic'
        : IDENTITY.has(field)
          ? 'identity'
          : 'value';
  return `${structure}.${kind}`;
}

/** A verifier's fault as a finding. */
export function findingOfFault(fault: Fault): Finding {
  return {
    code: faultCode(fault),
    severity: 'damage',
    agno: fault.agno,
    agbno: fault.agbno,
    ino: fault.ino,
    message: describeFault(fault),
    evidence: { field: fault.field, value: String(fault.value), expected: fault.expected },
    action: 'rebuild the structure from what else is known',
  };
}
