/** Sizes and shares as people read them. Used by the page in the browser too: nothing of Node here. */

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** 1.4 MiB, 512 bytes: three digits at most before the unit changes. */
export function binarySize(bytes: number): string {
  let n = bytes;
  let unit = 0;
  while (n >= 1024 && unit < UNITS.length - 1) {
    n /= 1024;
    unit++;
  }
  const digits = unit === 0 || n >= 100 || Number.isInteger(n) ? 0 : 1;
  return `${n.toFixed(digits)} ${UNITS[unit]}`;
}

/** A part of a whole: 12.3%, and never 0.0% or 100.0% for what is neither. */
export function percent(part: number, whole: number): string {
  if (part === 0 || whole === 0) return '0%';
  if (part === whole) return '100%';
  const share = (part / whole) * 100;
  if (share < 0.05) return '<0.1%';
  return share > 99.95 ? '>99.9%' : `${share.toFixed(1)}%`;
}
