/** The options that say which image, and the way from them to an opened filesystem. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { CorruptionError } from '../format/fault.js';
import { openSource } from '../image/open.js';
import { ImageError, type Source } from '../image/source.js';
import { openVolume, UnsupportedError, type Volume } from '../volume/volume.js';
import { CliError, EXIT } from './errors.js';

/** What commander makes of `addImageOptions`. */
export interface ImageOptions {
  offset?: number;
  partition?: number;
}

const SUFFIX: Record<string, number> = {
  '': 1,
  s: 512,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50,
  e: 2 ** 60,
};

/** Bytes of a size such as 1048576, 1m, 2048s (512-byte sectors), 0x100000; undefined where it is none. */
export function parseBytes(value: string): bigint | undefined {
  const match = /^(0x[0-9a-f]+|\d+)(?:(s|k|m|g|t|p|e)(?:i?b)?|b)?$/i.exec(value);
  if (match === null) return undefined;
  return BigInt(match[1]) * BigInt(SUFFIX[(match[2] ?? '').toLowerCase()]);
}

/** The same as a number; undefined also where it is too large for one. */
export function parseSize(value: string): number | undefined {
  const bytes = Number(parseBytes(value) ?? Number.NaN);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

function sizeArgument(value: string): number {
  const bytes = parseSize(value);
  if (bytes === undefined) throw new InvalidArgumentError('A size such as 1048576, 1m or 2048s is expected.');
  return bytes;
}

/** For `--partition`, `--ag` and their like: a plain number, at least `least`. */
export const numberArgument =
  (least: number) =>
  (value: string): number => {
    const n = Number(value);
    if (!/^\d+$/.test(value) || !Number.isSafeInteger(n) || n < least)
      throw new InvalidArgumentError(`A whole number from ${least} is expected.`);
    return n;
  };

export function addImageOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--offset <bytes>', 'where the filesystem begins in the image (suffixes s, k, m, g, t)')
        .argParser(sizeArgument)
        .conflicts('partition'),
    )
    .addOption(
      new Option('--partition <n>', 'the partition that holds it (GPT or MBR), from 1').argParser(
        numberArgument(1),
      ),
    );
}

/** One line and the exit status for what stands in the way of using an image; other errors stay as they are. */
export function imageError(path: string, error: unknown): unknown {
  const at = (message: string): string => (message.startsWith(path) ? message : `${path}: ${message}`);
  if (error instanceof UnsupportedError) return new CliError(at(error.message), EXIT.UNUSABLE);
  if (error instanceof ImageError) return new CliError(at(error.message), EXIT.FAILED);
  if (error instanceof CorruptionError) return new CliError(at(error.message), EXIT.FAILED);
  return error;
}

/** Opens the bytes of an image. Throws CliError. */
export function openImageSource(path: string, options: ImageOptions & { write?: boolean } = {}): Source {
  try {
    return openSource(path, options);
  } catch (error) {
    throw imageError(path, error);
  }
}

/** Opens the filesystem in an image. Throws CliError, one line: what, where, what to do. */
export function openImage(path: string, options: ImageOptions & { write?: boolean } = {}): Volume {
  const source = openImageSource(path, options);
  try {
    return openVolume(source);
  } catch (error) {
    source.close();
    throw imageError(path, error);
  }
}
