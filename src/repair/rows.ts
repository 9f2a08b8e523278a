/** The JSON of `repair --json`, one object a finding, as zod schemas. */
import * as z from 'zod/mini';

const block = z.int().check(z.gte(0));
const about = (text: string) => z.describe(text);

const claim = z.object({
  ino: z.optional(block.check(about('inode that claims; absent for the filesystem’s own metadata'))),
  path: z.optional(z.string()),
  kind: z.string().check(about('data, attr, dir, symlink, bmbt, quota, or an owner in the rmap btree')),
  offset: z.optional(block.check(about('file block that maps to the first block of the run'))),
  unwritten: z.optional(z.boolean()),
  reflink: z.optional(z.boolean().check(about('the inode’s reflink flag'))),
  rmap: z
    .nullable(z.boolean())
    .check(about('an rmap record confirms the claim; null without an rmap btree to ask')),
  verified: z.boolean().check(about('the claimant’s own inode verifies')),
  verdict: z.enum(['kept', 'corrupt', 'undecided']),
});

const rmap = z.object({
  owner: z.union([block, z.string()]),
  kind: z.enum(['data', 'attr', 'bmbt', 'special']),
  offset: block,
  unwritten: z.boolean(),
  claimed: z.boolean().check(about('the owner’s own fork claims these blocks there')),
});

export const FINDING = z.object({
  code: z.string().check(about('stable; xfsimg-repair(1) has the list')),
  severity: z.enum(['damage', 'note']),
  agno: z.optional(block),
  agbno: z.optional(block.check(about('first block within the AG'))),
  blocks: z.optional(block),
  ino: z.optional(block),
  path: z.optional(z.string()),
  offset: z.optional(block.check(about('first file block concerned'))),
  message: z.string(),
  evidence: z.optional(
    z.object({
      claims: z.optional(z.array(claim)),
      refcount: z.optional(z.nullable(z.object({ count: block, domain: z.enum(['shared', 'cow']) }))),
      rmap: z.optional(z.nullable(z.array(rmap))),
      standing: z.optional(z.string().check(about('metadata that verifies on the first block'))),
      field: z.optional(z.string()),
      value: z.optional(z.string()),
      expected: z.optional(z.string()),
    }),
  ),
  action: z.string(),
});
