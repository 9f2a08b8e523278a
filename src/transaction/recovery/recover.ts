/**
 * Recovery of a filesystem whose log is not clean: replay, then what the crash left half-done is finished by
 * transactions of our own, in the order Linux does it at mount: intents without a done-item, files that had
 * no name left but were open, blocks held for copies on write, the superblock's counters, the unmount record.
 *
 * Nothing is written before all of the log has been read and all that has to be finished was tried once in
 * memory. The log is added to, never cut off: killed at any write, the image is one that this or Linux
 * recovers again.
 */
import { CorruptionError, describeFault } from '../../format/fault.js';
import type { Geometry } from '../../format/geometry.js';
import { LI_NAME } from '../../format/logitems.js';
import { QFLAGS_CHECKED, SUPERBLOCK } from '../../format/superblock.js';
import { OverlaySource } from '../../image/overlay.js';
import type { Source } from '../../image/source.js';
import { LogDevice } from '../../journal/device.js';
import { LogError } from '../../journal/error.js';
import { type RedoProgress, type RedoResult, redoLog } from '../../journal/recover.js';
import { guardBlocks } from '../../journal/recoverguard.js';
import { type LogState, scanLog } from '../../journal/scan.js';
import type { OpenIntent } from '../../journal/status.js';
import { openVolume } from '../../volume/volume.js';
import { Engine } from '../engine.js';
import { releaseCowStaging } from './cow.js';
import { finishIntents } from './intents.js';
import { freeUnlinkedInodes } from './unlinked.js';

export interface RecoveryResult {
  /** The log was clean: nothing was done. */
  readonly clean: boolean;
  /** Committed transactions in the log. */
  readonly transactions: number;
  /** Items replayed; left out because the disk had them already; left out because their blocks were freed. */
  readonly replayed: number;
  readonly newer: number;
  readonly cancelled: number;
  /** Items of quotas, which are left for Linux to count anew. */
  readonly quota: number;
  /** Intents finished, by kind: 'EFI', 'RUI'... */
  readonly intents: Readonly<Record<string, number>>;
  /** Inodes without a name that were freed. */
  readonly unlinked: number;
  /** Blocks held for copies on write that were freed. */
  readonly cowBlocks: number;
}

const NOTHING: RecoveryResult = {
  clean: true,
  transactions: 0,
  replayed: 0,
  newer: 0,
  cancelled: 0,
  quota: 0,
  intents: {},
  unlinked: 0,
  cowBlocks: 0,
};

/**
 * Recovers the filesystem in `source`. Throws LogError where the log cannot be replayed, or what it left open
 * cannot be finished: nothing has been written then. For a look only, give it an OverlaySource.
 */
export function recoverLog(source: Source, progress?: RedoProgress): RecoveryResult {
  const { g } = openVolume(source);
  const state = scanLog(source, g);
  if (state.clean) return NOTHING;
  const redo = redoLog(state, progress);
  const trial = new OverlaySource(redo.set);
  const planned = finish(trial, trialState(state, trial, g), redo);
  const guarded = guardBlocks(state, redo.set, redo.fragile);
  redo.set.apply();
  finish(source, guarded > 0 ? scanLog(source, g) : state, redo);
  return { clean: false, ...countsOf(redo), ...planned };
}

const countsOf = ({ transactions, replayed, newer, cancelled, quota }: RedoResult) => ({
  transactions,
  replayed,
  newer,
  cancelled,
  quota,
});

/** The log as scanned, read and written through another source. */
const trialState = (state: LogState, source: Source, g: Geometry): LogState => ({
  ...state,
  device: new LogDevice(source, g),
});

/** Everything after the replay. */
function finish(
  source: Source,
  state: LogState,
  redo: RedoResult,
): Pick<RecoveryResult, 'intents' | 'unlinked' | 'cowBlocks'> {
  try {
    // The replay can have changed the superblock.
    const { g } = openVolume(source);
    const engine = new Engine(source, g, state);
    engine.log.clearStale();
    const intents = countKinds(redo.openIntents);
    finishIntents(engine, redo.openIntents);
    const unlinked = freeUnlinkedInodes(engine);
    const cowBlocks = releaseCowStaging(engine);
    tidySuperblock(engine);
    engine.close({ always: true });
    return { intents, unlinked, cowBlocks };
  } catch (error) {
    if (error instanceof CorruptionError)
      throw new LogError(
        state.head,
        `what the log left open cannot be finished: ${describeFault(error.fault)}`,
      );
    throw error;
  }
}

function countKinds(intents: readonly OpenIntent[]): Record<string, number> {
  const out: Record<string, number> = {};
  for (const { item } of intents) {
    const name = LI_NAME[item.type];
    out[name] = (out[name] ?? 0) + 1;
  }
  return out;
}

/** No log item is left that older programs could not read, and quotas are no longer known to be right. */
function tidySuperblock(engine: Engine): void {
  const { superblock } = engine;
  const { features_log_incompat: features, qflags } = SUPERBLOCK.at;
  const flags = superblock.view.getUint16(qflags);
  if (superblock.view.getUint32(features) === 0 && (flags & QFLAGS_CHECKED) === 0) return;
  engine.run((tx) => {
    tx.put32(superblock, features, 0);
    tx.edit(superblock, qflags, 2);
    superblock.view.setUint16(qflags, flags & ~QFLAGS_CHECKED);
  });
}
