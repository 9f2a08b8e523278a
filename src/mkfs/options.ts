/**
 * What can be asked of mkfs: one table of options from which come the command line's grammar, the zod schema
 * (schema.ts) and every message about a value that cannot be.
 *
 * The grammar is mkfs.xfs's own: `-d agcount=4,su=64k,sw=2`, numbers with the units of units.ts.
 */
import { badOption } from './error.js';
import { formatBytes, parseNumber, type Units } from './units.js';

interface NumberOption {
  readonly kind: 'number';
  /** As on the command line: '-d agcount'. */
  readonly flag: string;
  readonly min: number;
  readonly max: number;
  /** Takes unit letters; its range is named in KiB, MiB, ... */
  readonly units?: true;
  readonly powerOf2?: true;
  /** Value of the option given without one. */
  readonly bare?: number;
  /** Why nothing but min = max is possible. */
  readonly only?: string;
}

interface UuidOption {
  readonly kind: 'uuid';
  readonly flag: string;
}

interface LabelOption {
  readonly kind: 'label';
  readonly flag: string;
}

export type OptionSpec = NumberOption | UuidOption | LabelOption;

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const TIB = 2 ** 40;
export const MAX_LOG_BYTES = 2 ** 31 - 10 * MIB;
const U32 = 2 ** 32 - 1;

const number = (
  flag: string,
  min: number,
  max: number,
  more: Partial<Omit<NumberOption, 'kind' | 'flag' | 'min' | 'max'>> = {},
): NumberOption => ({ kind: 'number', flag, min, max, ...more });
const bytes = (flag: string, min: number, max: number, more: { powerOf2?: true } = {}): NumberOption =>
  number(flag, min, max, { units: true, ...more });
const flag = (name: string): NumberOption => number(name, 0, 1, { bare: 1 });
const fixed = (name: string, value: number, only: string): NumberOption =>
  number(name, value, value, { bare: 1, only });

/** Every option, by the name it has in `MkfsOptions`. */
export const OPTIONS = {
  size: bytes('--size', 16 * MIB, 2 ** 50),
  blockSize: bytes('-b size', KIB, 64 * KIB, { powerOf2: true }),
  sectorSize: bytes('-s size', 512, 32 * KIB, { powerOf2: true }),
  agCount: number('-d agcount', 1, 2 ** 32 - 2),
  agSize: bytes('-d agsize', 16 * MIB, TIB),
  dataSize: bytes('-d size', 16 * MIB, 2 ** 50),
  stripeUnit: bytes('-d su', 0, U32),
  stripeWidth: number('-d sw', 0, U32),
  stripeUnitSectors: number('-d sunit', 0, U32),
  stripeWidthSectors: number('-d swidth', 0, U32),
  noAlign: flag('-d noalign'),
  rtInherit: flag('-d rtinherit'),
  projInherit: number('-d projinherit', 0, U32),
  extentSizeInherit: number('-d extszinherit', 0, U32),
  cowExtentSize: number('-d cowextsize', 0, U32),
  daxInherit: flag('-d daxinherit'),
  dataFile: flag('-d file'),
  inodeSize: number('-i size', 512, 2 * KIB, { powerOf2: true }),
  inodesPerBlock: number('-i perblock', 2, 128, { powerOf2: true }),
  maxPct: number('-i maxpct', 0, 100),
  sparseInodes: flag('-i sparse'),
  nrext64: flag('-i nrext64'),
  inodeAlign: fixed('-i align', 1, 'inodes are always aligned in version 5'),
  attrVersion: fixed('-i attr', 2, 'version 5 has attributes of version 2'),
  projid32: fixed('-i projid32bit', 1, 'version 5 has project ids of 32 bits'),
  logSize: bytes('-l size', 2 * MIB, MAX_LOG_BYTES),
  logAg: number('-l agnum', 0, U32),
  logStripeUnit: bytes('-l su', 512, 256 * KIB),
  logStripeUnitSectors: number('-l sunit', 1, 512),
  logInternal: fixed('-l internal', 1, 'no external log is made'),
  logVersion: fixed('-l version', 2, 'version 5 has logs of version 2'),
  logLazyCount: fixed('-l lazy-count', 1, 'version 5 counts lazily'),
  logSectorSize: bytes('-l sectsize', 512, 32 * KIB, { powerOf2: true }),
  crc: fixed('-m crc', 1, 'filesystems of version 4 are not made'),
  finobt: flag('-m finobt'),
  inobtcount: flag('-m inobtcount'),
  rmapbt: flag('-m rmapbt'),
  reflink: flag('-m reflink'),
  bigtime: flag('-m bigtime'),
  uuid: { kind: 'uuid', flag: '-m uuid' },
  dirBlockSize: bytes('-n size', 4 * KIB, 64 * KIB, { powerOf2: true }),
  dirVersion: fixed('-n version', 2, 'version 5 has directories of version 2'),
  ftype: fixed('-n ftype', 1, 'version 5 has file types in directories'),
  label: { kind: 'label', flag: '-L' },
} as const satisfies Record<string, OptionSpec>;

export type OptionName = keyof typeof OPTIONS;
type NumberName = { [K in OptionName]: (typeof OPTIONS)[K]['kind'] extends 'number' ? K : never }[OptionName];

/** The values asked for, in bytes, blocks or 0 and 1 as the option has it; what is left out is chosen. */
export type OptionValues = { [K in NumberName]?: number } & { uuid?: string; label?: string };

/** Second names, and what is refused by name. */
const ALIASES: Record<string, OptionName> = {
  '-d sectsize': 'sectorSize',
  '-s sectsize': 'sectorSize',
};
const REFUSED: Record<string, string> = {
  '-d name': 'the image is the operand',
  '-l logdev': 'no external log is made',
  '-l name': 'no external log is made',
  '-l file': 'no external log is made',
};

/** Options that exclude each other. */
export const CONFLICTS: readonly (readonly [OptionName, OptionName])[] = [
  ['agCount', 'agSize'],
  ['stripeUnitSectors', 'noAlign'],
  ['stripeUnitSectors', 'stripeUnit'],
  ['stripeUnitSectors', 'stripeWidth'],
  ['stripeWidthSectors', 'noAlign'],
  ['stripeWidthSectors', 'stripeUnit'],
  ['stripeWidthSectors', 'stripeWidth'],
  ['stripeUnit', 'noAlign'],
  ['stripeWidth', 'noAlign'],
  ['inodeSize', 'inodesPerBlock'],
  ['logStripeUnit', 'logStripeUnitSectors'],
];

/** The groups that take suboptions. */
export const GROUPS = ['b', 'd', 'i', 'l', 'm', 'n', 's'] as const;
export type GroupTexts = { readonly [K in (typeof GROUPS)[number]]?: readonly string[] };

const BY_FLAG = new Map<string, OptionName>([
  ...(Object.keys(OPTIONS) as OptionName[]).map((name): [string, OptionName] => [OPTIONS[name].flag, name]),
  ...Object.entries(ALIASES),
]);

/** "from 16 MiB to 1 TiB, a power of two" */
export function rangeOf(spec: NumberOption): string {
  if (spec.only !== undefined) return `${spec.min} (${spec.only})`;
  const show = (n: number): string => (spec.units ? formatBytes(n) : `${n}`);
  return `from ${show(spec.min)} to ${show(spec.max)}${spec.powerOf2 ? ', a power of two' : ''}`;
}

/**
 * Reads the option groups and the loose options (`--size`, `-L`) of a command line. Unit letters 'b' and 's'
 * stand for the block and sector size asked for in the same line. Ranges are left to the schema.
 *
 * @param groups every occurrence of each group, in order: { d: ['agcount=4', 'su=64k,sw=2'] }
 * @throws MkfsError naming the option: unknown, given twice, without a value, not a number
 */
export function parseOptions(
  groups: GroupTexts,
  loose: { size?: string; label?: string } = {},
): OptionValues {
  const texts = new Map<OptionName, { flag: string; text: string | undefined }>();
  for (const group of GROUPS)
    for (const item of groups[group] ?? [])
      for (const part of item.split(',')) {
        const equals = part.indexOf('=');
        const key = equals < 0 ? part : part.slice(0, equals);
        const flagText = `-${group} ${key}`;
        const name = BY_FLAG.get(flagText);
        if (name === undefined) {
          const why = REFUSED[flagText];
          if (why !== undefined) throw badOption(`${flagText}: ${why}`);
          throw badOption(
            `unknown option -${group} ${part === '' ? '(empty)' : part}: known are ${known(group)}`,
          );
        }
        const before = texts.get(name);
        if (before !== undefined)
          throw badOption(
            before.flag === flagText
              ? `${flagText} is given twice`
              : `${flagText} and ${before.flag} exclude each other`,
          );
        texts.set(name, { flag: flagText, text: equals < 0 ? undefined : part.slice(equals + 1) });
      }
  if (loose.size !== undefined) texts.set('size', { flag: '--size', text: loose.size });
  const values: Record<string, number | string> = {};
  // The sizes units depend on come first, and may not lean on each other.
  const read = (name: OptionName, units: Units): void => {
    const given = texts.get(name);
    if (given === undefined) return;
    const spec: OptionSpec = OPTIONS[name];
    const empty = given.text === undefined || given.text === '';
    if (spec.kind !== 'number') {
      if (empty) throw badOption(`${given.flag} needs a value`);
      values[name] = given.text as string;
      return;
    }
    if (empty) {
      if (spec.bare === undefined) throw badOption(`${given.flag} needs a value, ${rangeOf(spec)}`);
      values[name] = spec.bare;
      return;
    }
    const value = parseNumber(given.text as string, spec.units && units);
    if (Number.isNaN(value))
      throw badOption(
        `${given.flag}=${given.text}: not a number${spec.units ? ' with a unit of k m g t p e b s' : ''}, ${rangeOf(spec)}`,
      );
    values[name] = value;
  };
  read('sectorSize', {});
  read('blockSize', { sector: values.sectorSize as number | undefined });
  const units = {
    block: (values.blockSize as number | undefined) ?? DEFAULT_BLOCK_SIZE,
    sector: (values.sectorSize as number | undefined) ?? DEFAULT_SECTOR_SIZE,
  };
  for (const name of texts.keys()) if (!(name in values)) read(name, units);
  if (loose.label !== undefined) values.label = loose.label;
  return values as OptionValues;
}

export const DEFAULT_BLOCK_SIZE = 4096;
export const DEFAULT_SECTOR_SIZE = 512;

const known = (group: string): string =>
  [...BY_FLAG.keys()]
    .filter((f) => f.startsWith(`-${group} `))
    .map((f) => f.slice(3))
    .join(' ');
