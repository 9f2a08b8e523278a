/** Rows as JSON objects: one array of them, or one a line (ndjson). */
import type { Table } from '../../dump/table.js';
import type { Output } from './output.js';
import { TableWriter, wholeDigits } from './writer.js';

export class JsonWriter extends TableWriter {
  readonly #array: boolean;
  /** `{"first":`, `,"second":` and so on. */
  readonly #keys: readonly string[];
  #first = true;

  constructor(table: Table, chosen: readonly number[], out: Output, options: { array: boolean }) {
    super(table, chosen, out);
    this.#array = options.array;
    this.#keys = this.columns.map((c, i) => `${i === 0 ? '{' : ','}${JSON.stringify(c.name)}:`);
  }

  emit(): void {
    const { out, chosen, kinds, num } = this;
    const keys = this.#keys;
    if (this.#array) out.text(this.#first ? '[\n' : ',\n');
    this.#first = false;
    for (let i = 0; i < chosen.length; i++) {
      out.text(keys[i]);
      const at = chosen[i];
      switch (kinds[i]) {
        case 'text': {
          const s = this.text[at];
          out.text(s === null ? 'null' : JSON.stringify(s));
          break;
        }
        case 'any': {
          const value = this.any[at];
          if (typeof value === 'bigint' || (typeof value === 'number' && !Number.isSafeInteger(value)))
            out.text(`"${value}"`);
          else out.text(JSON.stringify(value));
          break;
        }
        case 'bool':
          out.text(Number.isNaN(num[at]) ? 'null' : num[at] !== 0 ? 'true' : 'false');
          break;
        default: {
          const value = num[at];
          if (Number.isSafeInteger(value)) out.integer(value);
          else out.text(Number.isNaN(value) ? 'null' : `"${wholeDigits(value)}"`);
        }
      }
    }
    out.text(this.#array ? '}' : '}\n');
  }

  finish(): void {
    if (this.#array) this.out.text(this.#first ? '[]\n' : '\n]\n');
    this.out.flush();
  }
}
