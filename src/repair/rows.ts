/** The JSON of `repair --json`, one object a finding, as zod schemas. */
import { z } from 'zod';

const block = z.number().int().nonnegative();

const claim = z.object({
  ino: block.optional().describe('inode that claims; absent for the filesystem’s own metadata'),
  path: z.string().optional(),
  kind: z.string().describe('data, attr, dir, symlink, bmbt, quota, or an owner in the rmap btree'),
  offset: block.optional().describe('file block that maps to the first block of the run'),
  unwritten: z.boolean().optional(),
  reflink: z.boolean().optional().describe('the inode’s reflink flag'),
  rmap: z
    .boolean()
    .nullable()
    .describe('an rmap record confirms the claim; null without an rmap btree to ask'),
  verified: z.boolean().describe('the claimant’s own inode verifies'),
  verdict: z.enum(['kept', 'corrupt', 'undecided']),
});

const rmap = z.object({
  owner: z.union([block, z.string()]),
  kind: z.enum(['data', 'attr', 'bmbt', 'special']),
  offset: block,
  unwritten: z.boolean(),
  claimed: z.boolean().describe('the owner’s own fork claims these blocks there'),
});

export const FINDING = z.object({
  code: z.string().describe('stable; xfsimg-repair(1) has the list'),
  severity: z.enum(['damage', 'note']),
  agno: block.optional(),
  agbno: block.optional().describe('first block within the AG'),
  blocks: block.optional(),
  ino: block.optional(),
  path: z.string().optional(),
  offset: block.optional().describe('first file block concerned'),
  message: z.string(),
  evidence: z
    .object({
      claims: z.array(claim).optional(),
      refcount: z
        .object({ count: block, domain: z.enum(['shared', 'cow']) })
        .nullable()
        .optional(),
      rmap: z.array(rmap).nullable().optional(),
      standing: z.string().optional().describe('metadata that verifies on the first block'),
      field: z.string().optional(),
      value: z.string().optional(),
      expected: z.string().optional(),
    })
    .optional(),
  action: z.string(),
});
