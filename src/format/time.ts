/** Times as people read them, in UTC. */
import type { Timespec } from './dinode.js';

const two = (n: number): string => (n < 10 ? `0${n}` : `${n}`);

/** "2026-03-04 05:06:07" */
export function showTime({ sec }: Timespec): string {
  const d = new Date(sec * 1000);
  const date = `${String(d.getUTCFullYear()).padStart(4, '0')}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`;
  return `${date} ${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
}

/** "2026-03-04 05:06:07.000000008" */
export const showFullTime = (t: Timespec): string => `${showTime(t)}.${String(t.nsec).padStart(9, '0')}`;

/** ISO 8601 with all nine digits: "2026-03-04T05:06:07.000000008Z" */
export const isoTime = (t: Timespec): string => `${showFullTime(t).replace(' ', 'T')}Z`;

/** What the system's clock says, to the nanosecond as far as it goes. */
export function systemTime(): Timespec {
  const ms = performance.timeOrigin + performance.now();
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: Math.min(999_999_999, Math.floor((ms - sec * 1000) * 1e6)) };
}
