/**
 * What a table is: named, typed, described columns, declared once as plain data. The renderer prints by this
 * declaration, `schema.ts` makes the zod object and the JSON Schema of a row from it, and producers fill
 * cells by the column numbers in `at`. It is plain data, and the zod object derived, because zod takes as
 * long to load as a whole table takes to print.
 *
 * Producers make no object per row. A sink holds one row of cells; what a producer sets stays set until it is
 * set again:
 *
 *     const { num, text } = sink;
 *     num[REFCOUNT.at.agno] = agno;              // once an AG
 *     ...
 *       num[REFCOUNT.at.agbno] = agbno;          // each row
 *       text[REFCOUNT.at.domain] = 'shared';
 *       sink.emit();
 */
import type { Ascii } from './ascii.js';

/**
 * Kinds of cells, and where a sink keeps them:
 *   uint   `num`   0 .. 2^53-1
 *   u64    `num`   as uint, but may pass 2^53: then a string in JSON
 *   int    `num`   may be negative
 *   bool   `num`   0 or 1
 *   text   `text`  a string; bytes that are no UTF-8 as format/text.ts keeps them
 *   any    `any`   number, bigint (a string in JSON past 2^53), string, boolean, null
 * NaN in `num` and null in `text` are cells without a value: null in JSON, empty elsewhere.
 */
export type CellKind = 'uint' | 'u64' | 'int' | 'bool' | 'text' | 'any';
export type Cell = number | bigint | string | boolean | null;

export interface ColumnType {
  readonly kind: CellKind;
  /** What the column says, its unit with it. */
  readonly about: string;
  /** The only values a text cell can have. */
  readonly values?: readonly string[];
  /** Some rows have no value here. */
  readonly nullable?: boolean;
}
export interface Column extends ColumnType {
  readonly name: string;
}

export interface Table<N extends string = string, T = unknown> {
  readonly name: string;
  /** One line: what a row is. */
  readonly about: string;
  readonly columns: readonly Column[];
  /** Number of each column. */
  readonly at: { readonly [K in N]: number };
  /** Types of the columns, for the compiler alone: see RowOf. */
  readonly types?: T;
}

/** What a cell is as a value. */
type CellOf<C> = C extends { readonly nullable: true } ? ValueOf<C> | null : ValueOf<C>;
type ValueOf<C> = C extends { readonly kind: 'uint' | 'u64' | 'int' }
  ? number
  : C extends { readonly kind: 'bool' }
    ? boolean
    : C extends { readonly values: readonly (infer V)[] }
      ? V
      : C extends { readonly kind: 'text' }
        ? string
        : Cell;

/** A row of a table as an object: `RowOf<typeof EXTENTS>`. */
export type RowOf<T> = T extends Table<string, infer C> ? { [K in keyof C]: CellOf<C[K]> } & {} : never;

const type = <K extends CellKind>(kind: K, about: string): { readonly kind: K; readonly about: string } => ({
  kind,
  about,
});
export const uint = (about: string) => type('uint', about);
export const u64 = (about: string) => type('u64', about);
export const int = (about: string) => type('int', about);
export const bool = (about: string) => type('bool', about);
export const text = (about: string) => type('text', about);
export const any = (about: string) => type('any', about);
export const oneOf = <const V extends string>(values: readonly V[], about: string) => ({
  ...type('text', about),
  values,
});
export const optional = <T extends ColumnType>(of: T): T & { readonly nullable: true } => ({
  ...of,
  nullable: true,
});

/** Declares a table: columns in the order they are shown. */
export function table<T extends Record<string, ColumnType>>(
  name: string,
  about: string,
  types: T,
): Table<keyof T & string, T> {
  const names = Object.keys(types) as (keyof T & string)[];
  const at = {} as { [K in keyof T & string]: number };
  names.forEach((column, i) => {
    at[column] = i;
  });
  return { name, about, columns: names.map((column) => ({ name: column, ...types[column] })), at };
}

/** Takes rows: set the cells, then `emit`. */
export interface RowSink {
  readonly num: Float64Array;
  readonly text: (string | null)[];
  readonly any: Cell[];
  emit(): void;
  /** Of those that write bytes: a text cell of the next row, and of that alone. See `setAscii`. */
  ascii?(column: number, text: Ascii): void;
}

/** Sets a text cell of the next row to what stands in `text` when it is emitted. */
export function setAscii(sink: RowSink, column: number, text: Ascii): void {
  if (sink.ascii === undefined) sink.text[column] = text.toString();
  else sink.ascii(column, text);
}

/** One row from an object: for tables of few rows. Columns left out keep what the row before had. */
export function emitRow<N extends string>(
  sink: RowSink,
  of: Table<N>,
  cells: { readonly [K in N]?: Cell },
): void {
  for (const name of Object.keys(cells) as N[]) {
    const at = of.at[name];
    const value = cells[name] as Cell;
    switch (of.columns[at].kind) {
      case 'text':
        sink.text[at] = value === null ? null : String(value);
        break;
      case 'any':
        sink.any[at] = value;
        break;
      default:
        sink.num[at] = value === null ? Number.NaN : Number(value);
    }
  }
  sink.emit();
}

/** A sink that keeps every row as an object: for tests and for callers of the library. */
export class RowCollector implements RowSink {
  readonly num: Float64Array;
  readonly text: (string | null)[];
  readonly any: Cell[];
  readonly rows: Record<string, Cell>[] = [];
  readonly #columns: readonly Column[];

  constructor(of: Table) {
    this.#columns = of.columns;
    this.num = new Float64Array(of.columns.length).fill(Number.NaN);
    this.text = of.columns.map(() => null);
    this.any = of.columns.map(() => null);
  }

  emit(): void {
    const row: Record<string, Cell> = {};
    this.#columns.forEach(({ name, kind }, i) => {
      if (kind === 'text') row[name] = this.text[i];
      else if (kind === 'any') row[name] = this.any[i];
      else if (Number.isNaN(this.num[i])) row[name] = null;
      else row[name] = kind === 'bool' ? this.num[i] !== 0 : this.num[i];
    });
    this.rows.push(row);
  }
}
