/** Numbers as mkfs.xfs takes them: C integer syntax and one unit letter (libfrog's cvtnum). */

export interface Units {
  /** Bytes of 'b' and 's'; without them the two letters are refused. */
  readonly block?: number;
  readonly sector?: number;
}

const POWER: Record<string, number> = { k: 10, m: 20, g: 30, t: 40, p: 50, e: 60 };

/**
 * "16k", "0x200b", "1T" -> bytes. NaN for what is no number or has a unit that is not known. Decimal, 0x
 * hexadecimal and 0 octal, as strtoll reads them.
 */
export function parseNumber(text: string, units?: Units): number {
  const match = /^\s*([+-]?)(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)([a-z]?)$/i.exec(text);
  if (match === null) return Number.NaN;
  const [, sign, digits, letter] = match;
  const octal = /^0[0-7]+$/.test(digits);
  const value = (octal ? Number.parseInt(digits, 8) : Number(digits)) * (sign === '-' ? -1 : 1);
  if (letter === '') return value;
  if (units === undefined) return Number.NaN;
  const unit = letter.toLowerCase();
  if (unit === 'b') return units.block === undefined ? Number.NaN : value * units.block;
  if (unit === 's') return units.sector === undefined ? Number.NaN : value * units.sector;
  return unit in POWER ? value * 2 ** POWER[unit] : Number.NaN;
}

/** "16 MiB" for round sizes, plain bytes for the rest: how ranges are named in messages. */
export function formatBytes(bytes: number): string {
  const names = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  for (let i = names.length - 1; i >= 0; i--) {
    const unit = 2 ** ((i + 1) * 10);
    if (bytes >= unit && bytes % unit === 0) return `${bytes / unit} ${names[i]}`;
  }
  return `${bytes}`;
}
