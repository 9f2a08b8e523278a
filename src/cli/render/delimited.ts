/**
 * Tab- and comma-separated rows.
 *
 * TSV: a tab, newline, carriage return or backslash within a cell is written \t \n \r \\, so that one line is
 * always one row. CSV quotes by RFC 4180; lines end in a plain newline.
 */
import type { Ascii } from '../../dump/ascii.js';
import type { Table } from '../../dump/table.js';
import type { Output } from './output.js';
import { TableWriter, wholeDigits } from './writer.js';

const NEWLINE = 10;

const ESCAPES: Record<string, string> = { '\t': '\\t', '\n': '\\n', '\r': '\\r', '\\': '\\\\' };
const tsvText = (s: string): string =>
  /[\t\n\r\\]/.test(s) ? s.replace(/[\t\n\r\\]/g, (c) => ESCAPES[c]) : s;
const csvText = (s: string): string => (/[",\r\n]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s);

/** Characters that a cell is not written with as they stand: those escaped, and all beyond ASCII. */
const special = (characters: string): Uint8Array => {
  const out = new Uint8Array(128);
  for (const c of characters) out[c.charCodeAt(0)] = 1;
  return out;
};
/** Cells up to this length are looked at and written in one go. */
const SHORT = 256;

export class DelimitedWriter extends TableWriter {
  readonly #separator: number;
  readonly #escape: (s: string) => string;
  readonly #special: Uint8Array;
  #asciiColumn = -1;
  #ascii: Ascii | undefined;

  constructor(
    table: Table,
    chosen: readonly number[],
    out: Output,
    options: { format: 'tsv' | 'csv'; header: boolean },
  ) {
    super(table, chosen, out);
    const tsv = options.format === 'tsv';
    this.#separator = tsv ? 9 : 44;
    this.#escape = tsv ? tsvText : csvText;
    this.#special = special(tsv ? '\t\n\r\\' : '",\r\n');
    if (options.header) {
      const separator = String.fromCharCode(this.#separator);
      out.text(`${this.columns.map((c) => this.#escape(c.name)).join(separator)}\n`);
    }
  }

  ascii(column: number, text: Ascii): void {
    this.#asciiColumn = column;
    this.#ascii = text;
  }

  emit(): void {
    const { out, chosen, kinds, num } = this;
    for (let i = 0; i < chosen.length; i++) {
      if (i > 0) out.byte(this.#separator);
      const at = chosen[i];
      switch (kinds[i]) {
        case 'text': {
          if (at === this.#asciiColumn) this.#bytes(this.#ascii!);
          else {
            const s = this.text[at];
            if (s !== null) this.#cell(s);
          }
          break;
        }
        case 'any': {
          const value = this.any[at];
          if (value !== null) this.#cell(String(value));
          break;
        }
        case 'bool':
          if (!Number.isNaN(num[at])) out.text(num[at] !== 0 ? 'true' : 'false');
          break;
        default: {
          const value = num[at];
          if (Number.isSafeInteger(value)) out.integer(value);
          else if (!Number.isNaN(value)) out.text(wholeDigits(value));
        }
      }
    }
    out.byte(NEWLINE);
    this.#asciiColumn = -1;
  }

  #cell(s: string): void {
    const { length } = s;
    const { out } = this;
    if (length > SHORT) return out.text(this.#escape(s));
    out.reserve(length);
    const { bytes } = out;
    const specials = this.#special;
    let at = out.used;
    for (let i = 0; i < length; i++) {
      const c = s.charCodeAt(i);
      if (c >= 0x80 || specials[c] !== 0) return out.text(this.#escape(s));
      bytes[at++] = c;
    }
    out.used = at;
  }

  #bytes({ bytes: from, length }: Ascii): void {
    const { out } = this;
    if (length > SHORT) return out.raw(from.subarray(0, length));
    out.reserve(length);
    const { bytes } = out;
    let at = out.used;
    for (let i = 0; i < length; i++) bytes[at++] = from[i];
    out.used = at;
  }

  finish(): void {
    this.out.flush();
  }
}
