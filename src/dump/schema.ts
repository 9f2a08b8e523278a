/** The zod object of a table's row as JSON has it, made from the table's columns. */
import * as z from 'zod/mini';
import type { Column, Table } from './table.js';

/** A whole number that may pass 2^53: then it is a string of digits. */
const wide = (): z.ZodMiniType => z.union([z.int().check(z.gte(0)), z.string().check(z.regex(/^-?[0-9]+$/))]);

function cellSchema(column: Column): z.ZodMiniType {
  switch (column.kind) {
    case 'uint':
      return z.int().check(z.gte(0));
    case 'u64':
      return wide();
    case 'int':
      return z.int();
    case 'bool':
      return z.boolean();
    case 'text':
      return column.values === undefined ? z.string() : z.enum(column.values as [string, ...string[]]);
    case 'any':
      return z.union([z.int(), z.string(), z.boolean(), z.null()]);
  }
}

/** What a row of `table` is: `rowSchema(EXTENTS).parse(JSON.parse(line))`. */
export function rowSchema(table: Table): z.ZodMiniObject {
  const shape: Record<string, z.ZodMiniType> = {};
  for (const column of table.columns) {
    const cell = cellSchema(column);
    const schema = column.nullable === true && column.kind !== 'any' ? z.nullable(cell) : cell;
    shape[column.name] = schema.check(z.describe(column.about));
  }
  return z.strictObject(shape).check(z.describe(table.about), z.meta({ title: table.name }));
}

/** The JSON Schema (draft 2020-12) of a row. */
export const rowJsonSchema = (table: Table): object => z.toJSONSchema(rowSchema(table));
