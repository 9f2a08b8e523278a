/** Faults as verifiers report them, in order. */
import type { Fault, Report } from '../../format/fault.js';

/** Faults kept for the report: a disk of noise should not fill memory. */
const MAX_FAULTS = 100_000;

export class FaultLog {
  readonly faults: Fault[] = [];
  /** All faults, kept or not. */
  count = 0;
  #before = 0;

  readonly report: Report = (fault) => {
    this.count++;
    if (this.faults.length < MAX_FAULTS) this.faults.push(fault);
  };

  /** Begins with something new, which `clean` asks about. */
  begin(): void {
    this.#before = this.count;
  }

  /** Whether nothing was reported since `begin`. */
  get clean(): boolean {
    return this.count === this.#before;
  }

  /** Takes over what another log has. */
  append(other: { readonly faults: readonly Fault[]; readonly count: number }): void {
    for (const fault of other.faults) this.report(fault);
    this.count += other.count - other.faults.length;
  }
}
