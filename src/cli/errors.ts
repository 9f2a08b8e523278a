/**
 * Errors the command line shows as one line, with the exit status they end the program with.
 *   1   the command failed, or damage was found
 *   2   the image cannot be used this way: dirty log, in use, not XFS, unsupported feature
 *   3   the power cut that --cut asked for
 *   64  the command line is wrong
 *   130 stopped by Ctrl-C, with what was done by then kept
 */
export const EXIT = {
  OK: 0,
  FAILED: 1,
  UNUSABLE: 2,
  CUT: 3,
  REPAIRED: 4,
  USAGE: 64,
  INTERRUPTED: 130,
} as const;

export class CliError extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode: number = EXIT.FAILED) {
    super(message);
    this.name = 'CliError';
    this.exitCode = exitCode;
  }
}
