/** What dumps that go through AGs have in common. */
import type { Report } from '../format/fault.js';
import type { Volume } from '../volume/volume.js';

export interface AgOptions {
  /** One AG instead of all. */
  readonly agno?: number;
  /** Takes faults; default the volume's. */
  readonly report?: Report;
}

export function eachAg(volume: Volume, options: AgOptions, fn: (agno: number, report: Report) => void): void {
  const report = options.report ?? volume.report;
  const from = options.agno ?? 0;
  const to = options.agno ?? volume.g.agcount - 1;
  for (let agno = from; agno <= to; agno++) fn(agno, report);
}
