/** The log for the page, and the filesystem as it is once the log has been replayed: in memory alone. */
import { dumpIntents, dumpLogStatus, LOG_ITEMS, LOG_STATUS } from '../dump/rows/log.js';
import { RowCollector } from '../dump/table.js';
import { CorruptionError } from '../format/fault.js';
import { OverlaySource } from '../image/overlay.js';
import type { Source } from '../image/source.js';
import { LogError } from '../journal/error.js';
import { type LogState, scanLog } from '../journal/scan.js';
import { recoverLog } from '../transaction/recovery/recover.js';
import type { Volume } from '../volume/volume.js';
import type { IntentRow, LogReport } from './payload.js';

/** Rows of intents shown. */
const INTENTS = 200;

const DAMAGED =
  'cannot be replayed: what this page shows is the image as it stands, without what the log holds';

/** What the log says, and the source to read everything else from: an overlay where there was a replay. */
export function logReport(volume: Volume): { log: LogReport; source: Source } {
  const { source } = volume;
  let state: LogState;
  try {
    state = scanLog(source, volume.g);
  } catch (error) {
    return { log: damaged(error, [], [], 0), source };
  }
  const status = new RowCollector(LOG_STATUS);
  const summary = dumpLogStatus(state, status);
  const properties = status.rows.map((r) => [String(r.property), r.value as string | number] as const);
  const rows = new RowCollector(LOG_ITEMS);
  const { openIntents } = summary;
  dumpIntents(volume.g, openIntents.slice(0, INTENTS), rows);
  const intents = rows.rows.slice(0, INTENTS) as unknown as IntentRow[];
  const more = openIntents.length - Math.min(openIntents.length, INTENTS);
  if (summary.error !== undefined) return { log: damaged(summary.error, properties, intents, more), source };
  const rest = { properties, intents, moreIntents: more };
  if (state.clean)
    return {
      log: { state: 'clean', says: 'The log is clean: there is nothing to replay.', ...rest },
      source,
    };
  const overlay = new OverlaySource(source);
  try {
    recoverLog(overlay);
  } catch (error) {
    return { log: damaged(error, properties, intents, more), source };
  }
  const says =
    'The log is dirty. It was replayed in memory, and what this page shows is the filesystem after that; the image was not changed.';
  return { log: { state: 'dirty', says, ...rest }, source: overlay };
}

function damaged(
  error: unknown,
  properties: LogReport['properties'],
  intents: readonly IntentRow[],
  moreIntents: number,
): LogReport {
  if (!(error instanceof LogError || error instanceof CorruptionError)) throw error;
  const says = `The log ${DAMAGED}. ${error.message}.`;
  return { state: 'damaged', says, properties, intents, moreIntents };
}
