/** Before anything is examined: a superblock that can be believed, and a log with nothing to replay. */

import type { Source } from '../image/source.js';
import { LogWriter } from '../journal/append.js';
import { dropLog } from '../journal/clear.js';
import { LogError } from '../journal/error.js';
import { scanLog } from '../journal/scan.js';
import { type RecoveryResult, recoverLog } from '../transaction/recovery/recover.js';
import { openVolume } from '../volume/volume.js';
import type { Finding } from './finding.js';
import { findSuperblock } from './superblock.js';

/**
 * Puts a superblock that can be believed in place of one that cannot. `source` is an overlay as a rule: nothing is
 * known yet of whether the rest can be repaired. Returns what was found; throws UnsupportedError or CorruptionError,
 * as `openVolume` does, where there is no filesystem.
 */
export function restoreSuperblock(source: Source): Finding[] {
  const found = findSuperblock(source);
  if (found === undefined) {
    // Says why.
    openVolume(source);
    return [];
  }
  if (found.findings.length > 0) source.write(0, found.sector);
  return found.findings;
}

export type LogOutcome =
  /** 'trimmed': what stands behind the last whole record was torn, and there was nothing to replay before it. */
  | { readonly kind: 'clean' | 'dropped' | 'trimmed' }
  | { readonly kind: 'replayed'; readonly recovery: RecoveryResult };

/** Replays the log, or with `drop` empties it. Throws LogError where it cannot be replayed: nothing is written then. */
export function settleLog(source: Source, drop: boolean): LogOutcome {
  if (drop) return dropIfDirty(source);
  const recovery = recoverLog(source);
  if (!recovery.clean) return { kind: 'replayed', recovery };
  return { kind: trimLog(source) ? 'trimmed' : 'clean' };
}

/** Clears torn records behind the end of a clean log, as Linux does at a mount; false where there are none. */
export function trimLog(source: Source): boolean {
  const state = scanLog(source, openVolume(source).g);
  if (state.torn === undefined) return false;
  new LogWriter(state).clearStale();
  return true;
}

function dropIfDirty(source: Source): LogOutcome {
  const volume = openVolume(source);
  try {
    if (scanLog(source, volume.g).clean) return { kind: 'clean' };
  } catch (error) {
    if (!(error instanceof LogError)) throw error;
  }
  dropLog(volume);
  return { kind: 'dropped' };
}
