import { formatLsn, type Lsn } from '../format/log.js';

/** A log that cannot be read or replayed from some point on: where, and why. */
export class LogError extends Error {
  readonly lsn: Lsn;
  readonly reason: string;
  constructor(lsn: Lsn, reason: string) {
    super(`log at LSN ${formatLsn(lsn)}: ${reason}`);
    this.name = 'LogError';
    this.lsn = lsn;
    this.reason = reason;
  }
}
