/**
 * Tab- and comma-separated rows.
 *
 * TSV: a tab, newline, carriage return or backslash within a cell is written \t \n \r \\, so that one line is
 * always one row. CSV quotes by RFC 4180; lines end in a plain newline.
 */
import type { Table } from '../../dump/table.js';
import type { Output } from './output.js';
import { TableWriter, wholeDigits } from './writer.js';

const NEWLINE = 10;

const ESCAPES: Record<string, string> = { '\t': '\\t', '\n': '\\n', '\r': '\\r', '\\': '\\\\' };
const tsvText = (s: string): string =>
  /[\t\n\r\\]/.test(s) ? s.replace(/[\t\n\r\\]/g, (c) => ESCAPES[c]) : s;
const csvText = (s: string): string => (/[",\r\n]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s);

export class DelimitedWriter extends TableWriter {
  readonly #separator: number;
  readonly #escape: (s: string) => string;
  /** Columns whose words never need escaping. */
  readonly #plain: readonly boolean[];

  constructor(
    table: Table,
    chosen: readonly number[],
    out: Output,
    options: { format: 'tsv' | 'csv'; header: boolean },
  ) {
    super(table, chosen, out);
    this.#separator = options.format === 'tsv' ? 9 : 44;
    this.#escape = options.format === 'tsv' ? tsvText : csvText;
    this.#plain = this.columns.map((c) => c.values?.every((word) => this.#escape(word) === word) === true);
    if (options.header) {
      const separator = String.fromCharCode(this.#separator);
      out.text(`${this.columns.map((c) => this.#escape(c.name)).join(separator)}\n`);
    }
  }

  emit(): void {
    const { out, chosen, kinds, num } = this;
    for (let i = 0; i < chosen.length; i++) {
      if (i > 0) out.byte(this.#separator);
      const at = chosen[i];
      switch (kinds[i]) {
        case 'text': {
          const s = this.text[at];
          if (s !== null) out.text(this.#plain[i] ? s : this.#escape(s));
          break;
        }
        case 'any': {
          const value = this.any[at];
          if (value !== null) out.text(this.#escape(String(value)));
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
  }

  finish(): void {
    this.out.flush();
  }
}
