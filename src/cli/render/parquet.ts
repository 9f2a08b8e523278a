/**
 * Rows as Apache Parquet, for DuckDB, Spark and their like: written a row group at a time, so that a table of
 * any length takes the memory of one.
 *
 * Columns image, label and uuid come first: files of many images are one table. A column of the table that has
 * one of these names is called row_NAME. Numbers are INT64 (`u64`: UINT_64), `bool` is BOOLEAN, `text` and
 * `any` are strings; a byte that is no UTF-8, which a Parquet string cannot hold, stands as \xNN. What can be
 * without a value is optional.
 */
import type { ByteWriter, ColumnSource, ParquetWriter, SchemaElement } from 'hyparquet-writer';
import type { Column, Table } from '../../dump/table.js';
import { SUPERBLOCK } from '../../format/superblock.js';
import type { Output } from './output.js';
import type { Subject } from './table.js';
import { TableWriter } from './writer.js';

/** A row group ends at either. */
const GROUP_ROWS = 65_536;
const GROUP_CHARACTERS = 16 * 2 ** 20;

const HALF = 2 ** 32;

type Values = ColumnSource['data'];

/** The cells of a column in the row group being filled. */
interface Buffered {
  readonly name: string;
  readonly column: Column;
  /** Number of the column in the table. */
  readonly at: number;
  readonly numbers: Float64Array;
  strings: (string | null)[];
}

const STRING = { type: 'BYTE_ARRAY', converted_type: 'UTF8' } as const;
const TYPES = {
  uint: { type: 'INT64' },
  int: { type: 'INT64' },
  u64: { type: 'INT64', converted_type: 'UINT_64' },
  bool: { type: 'BOOLEAN' },
  text: STRING,
  any: STRING,
} as const;

const isString = ({ kind }: Column): boolean => kind === 'text' || kind === 'any';

const wellFormed = (s: string): string =>
  /\p{Surrogate}/u.test(s)
    ? s.replace(/\p{Surrogate}/gu, (c) => `\\x${(c.charCodeAt(0) & 0xff).toString(16)}`)
    : s;

export class ParquetTableWriter extends TableWriter {
  readonly #file: ParquetWriter;
  /** Columns that are the same in every row. */
  readonly #subject: Readonly<Record<string, string>>;
  readonly #buffered: readonly Buffered[];
  #rows = 0;
  #characters = 0;

  constructor(
    table: Table,
    chosen: readonly number[],
    out: Output,
    options: {
      subject: Subject;
      tools: { ByteWriter: typeof ByteWriter; ParquetWriter: typeof ParquetWriter };
    },
  ) {
    super(table, chosen, out);
    const { image, volume } = options.subject;
    const { fname } = SUPERBLOCK.decode(volume.superblock);
    this.#subject = { image: wellFormed(image), label: wellFormed(String(fname)), uuid: volume.g.uuid };
    this.#buffered = this.columns.map((column, i) => ({
      name: column.name in this.#subject ? `row_${column.name}` : column.name,
      column,
      at: chosen[i],
      numbers: new Float64Array(isString(column) ? 0 : GROUP_ROWS),
      strings: [],
    }));
    this.#file = new options.tools.ParquetWriter({
      writer: intoOutput(new options.tools.ByteWriter(), out),
      schema: this.#schema(),
      createdBy: 'xfsimg',
    });
  }

  #schema(): SchemaElement[] {
    const subject = Object.keys(this.#subject).map(
      (name): SchemaElement => ({ name, ...STRING, repetition_type: 'REQUIRED' }),
    );
    const own = this.#buffered.map(
      ({ name, column }): SchemaElement => ({
        name,
        ...TYPES[column.kind],
        repetition_type: column.nullable === true || column.kind === 'any' ? 'OPTIONAL' : 'REQUIRED',
      }),
    );
    return [{ name: 'root', num_children: subject.length + own.length }, ...subject, ...own];
  }

  emit(): void {
    const row = this.#rows++;
    for (const { column, at, numbers, strings } of this.#buffered) {
      if (!isString(column)) {
        numbers[row] = this.num[at];
        continue;
      }
      const value = column.kind === 'text' ? this.text[at] : this.any[at];
      const s = value === null ? null : wellFormed(String(value));
      strings.push(s);
      if (s !== null) this.#characters += s.length;
    }
    if (this.#rows === GROUP_ROWS || this.#characters >= GROUP_CHARACTERS) this.#writeGroup();
  }

  #writeGroup(): void {
    const rows = this.#rows;
    const columnData: ColumnSource[] = Object.entries(this.#subject).map(([name, value]) => ({
      name,
      data: new Array<string>(rows).fill(value),
    }));
    for (const buffered of this.#buffered) {
      columnData.push({ name: buffered.name, data: valuesOf(buffered, rows) });
      buffered.strings = [];
    }
    this.#rows = 0;
    this.#characters = 0;
    this.#file.write({ columnData, rowGroupSize: rows });
  }

  finish(): void {
    if (this.#rows > 0) this.#writeGroup();
    this.#file.finish();
  }
}

function valuesOf({ column, numbers, strings }: Buffered, rows: number): Values {
  if (isString(column)) return strings;
  const cells = numbers.subarray(0, rows);
  if (column.kind !== 'bool') return wholeNumbers(cells, column.kind === 'u64');
  return Array.from(cells, (n) => (Number.isNaN(n) ? null : n !== 0));
}

/** Whole numbers as 64-bit ones; NaN as null. */
function wholeNumbers(cells: Float64Array, unsigned: boolean): Values {
  const words = new Uint32Array(2 * cells.length);
  let missing = false;
  for (let i = 0; i < cells.length; i++) {
    const n = cells[i];
    if (Number.isNaN(n)) missing = true;
    // 2^64 is what the largest 64-bit number is as a double.
    else if (n >= HALF * HALF) words.fill(HALF - 1, 2 * i, 2 * i + 2);
    else {
      const high = Math.floor(n / HALF);
      words[2 * i] = n - high * HALF;
      words[2 * i + 1] = high;
    }
  }
  const values = unsigned ? new BigUint64Array(words.buffer) : new BigInt64Array(words.buffer);
  return missing ? Array.from(values, (v, i) => (Number.isNaN(cells[i]) ? null : v)) : values;
}

/** The library's writer of bytes, which hands every row group on to `out`. */
function intoOutput(writer: ByteWriter, out: Output): ByteWriter {
  const flush = (): void => {
    out.raw(writer.getBytes());
    writer.index = 0;
  };
  const finish = (): void => {
    flush();
    out.flush();
  };
  return Object.assign(writer, { flush, finish });
}
