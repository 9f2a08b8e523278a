/** Structures as rows of field and value, straight from their field tables; names are those xfs_db prints. */
import { sealCrc } from '../format/checksum.js';
import type { Report, Where } from '../format/fault.js';
import { compareLsnAt, formatLsn, type Lsn, readLsn } from '../format/log.js';
import { type Structure, type Value, viewOf } from '../format/structure.js';
import { bytesOf } from '../volume/volume.js';
import { any, optional, type RowSink, text, uint } from './table.js';

/** Columns every such table ends with. */
export const FIELD_COLUMNS = {
  field: text('name of the field, as xfs_db prints it'),
  value: any('what stands there: a number, or text; null where it points to nothing'),
  note: optional(text('the value in words')),
} as const;
export const AGNO = uint('allocation group');

/** Writes rows of one structure: `put` one, `structure` all fields of a table. */
export class FieldRows {
  readonly #sink: RowSink;
  readonly #field: number;

  /** `field`: number of the first of FIELD_COLUMNS in the table. */
  constructor(sink: RowSink, field: number) {
    this.#sink = sink;
    this.#field = field;
  }

  put(field: string, value: number | bigint | string | null, note: string | null = null): void {
    const sink = this.#sink;
    sink.text[this.#field] = field;
    sink.any[this.#field + 1] = value;
    sink.text[this.#field + 2] = note;
    sink.emit();
  }

  /** The fields of a structure, those in `skip` left out; `notes` gives words for some. */
  structure(
    of: Structure,
    view: DataView,
    base: number,
    options: {
      readonly prefix?: string;
      readonly skip?: ReadonlySet<string>;
      /** Fields that are null where all bits are set. */
      readonly nullable?: ReadonlySet<string>;
      readonly notes?: (name: string, value: Value) => string | null;
    } = {},
  ): void {
    const { prefix = '', skip, nullable, notes } = options;
    for (const { name, type, offset } of of.fields) {
      if (skip?.has(name)) continue;
      // A checksum is shown as its bytes stand on disk, like xfs_db does.
      const value =
        type.kind === 'crc' ? view.getUint32(base + offset) : type.get(view, base + offset, false);
      if (typeof value === 'object') continue; // arrays and padding: the caller's business
      const isNull = nullable?.has(name) === true && allOnes(view, base + offset, type.size);
      this.put(prefix + name, isNull ? null : value, isNull ? null : (notes?.(name, value) ?? null));
    }
  }
}

function allOnes(view: DataView, at: number, size: number): boolean {
  for (let i = 0; i < size; i++) if (view.getUint8(at + i) !== 0xff) return false;
  return true;
}

/** "0x58465342 "XFSB"" for a magic number. */
export function noteMagic(value: Value): string {
  let n = Number(value);
  let s = '';
  for (; n > 0; n = Math.floor(n / 256)) {
    const c = n % 256;
    s = (c >= 0x20 && c < 0x7f ? String.fromCharCode(c) : '.') + s;
  }
  return `"${s}"`;
}

export const noteHex = (value: Value): string => `0x${BigInt(value as number | bigint).toString(16)}`;

/** A log sequence number at `at`: its cycle and block. */
export const noteLsn = (view: DataView, at: number): string =>
  `cycle ${view.getUint32(at)} block ${view.getUint32(at + 4)}`;

/** Reports the LSN at byte `at` of `view` where it lies ahead of the log's head: nothing can have written it. */
export function checkLsn(
  view: DataView,
  at: number,
  head: Lsn | undefined,
  where: Where & { structure: string; field: string },
  report: Report,
): void {
  if (head === undefined || compareLsnAt(view, at, head) <= 0) return;
  const expected = `at most ${formatLsn(head)}, the head of the log`;
  report({ ...where, value: formatLsn(readLsn(view, at)), expected });
}

/** Whether the checksum of [base, base + size) with its CRC at `at` holds. */
export function noteCrc(view: DataView, base: number, size: number, at: number): string {
  const copy = bytesOf(view).slice(base, base + size);
  const stored = view.getUint32(base + at);
  sealCrc(copy, at);
  const right = viewOf(copy).getUint32(at);
  return stored === right ? 'correct' : `wrong: should be 0x${right.toString(16)}`;
}
