/** Rows of tables as iterables. */
import { type Cell, RowCollector, type RowOf, type RowSink, type Table } from '../dump/table.js';

/** What to iterate over. */
export interface RowOptions {
  /** These inodes instead of all, where a table is about inodes. */
  readonly inos?: readonly number[];
  /** One AG instead of all. */
  readonly agno?: number;
}

/**
 * The rows that `produce` emits, an AG at a time: memory is that of one AG's rows, and an iteration that is
 * left early reads no further. `agnos`: undefined for what is not made by AGs.
 */
export function* rowsOf<N extends string, T>(
  table: Table<N, T>,
  agnos: Iterable<number | undefined>,
  produce: (sink: RowSink, agno: number | undefined) => void,
): Generator<RowOf<Table<N, T>>, void, undefined> {
  for (const agno of agnos) {
    const sink = new RowCollector(table);
    produce(sink, agno);
    yield* sink.rows as Record<string, Cell>[] as RowOf<Table<N, T>>[];
  }
}
