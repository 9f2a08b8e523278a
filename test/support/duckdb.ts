/** DuckDB in this process, which reads Parquet with code that is nobody's here. */
import { DuckDBInstance } from '@duckdb/node-api';

export type Row = Record<string, unknown>;

/** Runs statements of SQL; the rows of the last. 64-bit numbers are strings of digits. */
export async function sql(text: string): Promise<Row[]> {
  const instance = await DuckDBInstance.create();
  const connection = await instance.connect();
  try {
    return (await connection.runAndReadAll(text)).getRowObjectsJson() as Row[];
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** A string as a literal of SQL. */
export const quote = (s: string): string => `'${s.replaceAll("'", "''")}'`;
