export const MAGIC: string;
export function unpackImage(from: string, to: string): string;
