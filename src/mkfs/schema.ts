/** The zod schema of mkfs's options, made from their table, and the one line a refused value gives. */
import * as z from 'zod/mini';
import { badOption } from './error.js';
import {
  CONFLICTS,
  OPTIONS,
  type OptionName,
  type OptionSpec,
  type OptionValues,
  rangeOf,
} from './options.js';
import { formatBytes } from './units.js';

const isPowerOf2 = (n: number): boolean => n > 0 && Number.isInteger(Math.log2(n));
/** A superblock has 12 bytes for the label. */
const MAX_LABEL = 12;

function schemaOf(spec: OptionSpec): z.ZodMiniType {
  if (spec.kind === 'uuid')
    return z
      .string()
      .check(z.regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, 'not a UUID (8-4-4-4-12 hex digits)'));
  if (spec.kind !== 'number')
    return z
      .string()
      .check(z.refine((s) => Buffer.byteLength(s) <= MAX_LABEL && !s.includes('\0'), 'longer than 12 bytes'));
  const range = `must be ${rangeOf(spec)}`;
  const base = z.number(range).check(z.int(range), z.gte(spec.min, range), z.lte(spec.max, range));
  return spec.powerOf2 ? base.check(z.refine(isPowerOf2, range)) : base;
}

export const optionsSchema = z.strictObject(
  Object.fromEntries(
    (Object.keys(OPTIONS) as OptionName[]).map((name) => [name, z.optional(schemaOf(OPTIONS[name]))]),
  ),
);

/** Checks ranges and conflicts. Throws MkfsError: one line with the option, its value and its range. */
export function validateOptions(values: OptionValues): OptionValues {
  const result = optionsSchema.safeParse(values);
  if (!result.success) {
    const issue = result.error.issues[0];
    const name = issue.path[0] as OptionName | undefined;
    if (name === undefined) throw badOption(`unknown option: ${issue.message}`);
    const spec: OptionSpec = OPTIONS[name];
    const value = values[name];
    const shown = spec.kind === 'number' && spec.units ? formatBytes(Number(value)) : `${value}`;
    throw badOption(`${spec.flag}${spec.kind === 'label' ? ' ' : '='}${shown}: ${issue.message}`);
  }
  for (const [a, b] of CONFLICTS)
    if (values[a] !== undefined && values[b] !== undefined)
      throw badOption(`${OPTIONS[a].flag} and ${OPTIONS[b].flag} exclude each other`);
  return values;
}
