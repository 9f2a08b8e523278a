/** What every table writer has in common: one row of cells, and the columns chosen. */
import type { Cell, CellKind, Column, RowSink, Table } from '../../dump/table.js';
import type { Output } from './output.js';

export abstract class TableWriter implements RowSink {
  readonly num: Float64Array;
  readonly text: (string | null)[];
  readonly any: Cell[];
  protected readonly out: Output;
  /** The chosen columns in the order asked for: number, name and kind of each. */
  protected readonly columns: readonly Column[];
  protected readonly chosen: Int32Array;
  protected readonly kinds: readonly CellKind[];

  /** `chosen`: numbers of the table's columns to show. */
  constructor(table: Table, chosen: readonly number[], out: Output) {
    const n = table.columns.length;
    this.num = new Float64Array(n).fill(Number.NaN);
    this.text = table.columns.map(() => null);
    this.any = table.columns.map(() => null);
    this.out = out;
    this.chosen = Int32Array.from(chosen);
    this.columns = chosen.map((i) => table.columns[i]);
    this.kinds = this.columns.map((c) => c.kind);
  }

  abstract emit(): void;

  /** Writes what is still held back: to be called once, after the last row. */
  abstract finish(): void;
}

/** Decimal digits of a number that is a whole one, however large. */
export const wholeDigits = (value: number): string =>
  Number.isFinite(value) ? BigInt(Math.trunc(value)).toString() : String(value);
