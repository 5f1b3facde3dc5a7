/**
 * The bounds of what goes on between nodes, as one object, so that tests can reach them.
 */

import {
  PEER_BEAT_MS,
  PEER_FRAME_BYTES_MAX,
  PEER_HANDSHAKE_MS_MAX,
  PEER_HANDSHAKES_MAX,
  PEER_QUEUE_BYTES_MAX,
  PEER_REDIAL_MS_MAX,
  PEER_REDIAL_MS_MIN,
  PEER_SILENT_BEATS_MAX,
} from '../../base/limits.ts';

export interface PeerLimits {
  readonly frameBytesMax: number;
  readonly queueBytesMax: number;
  /** From so many unwritten bytes on, a connection is given no more. */
  readonly writeBytes: number;
  readonly handshakesMax: number;
  readonly handshakeMsMax: number;
  readonly beatMs: number;
  readonly silentBeatsMax: number;
  readonly redialMsMin: number;
  readonly redialMsMax: number;
}

export const PEER_LIMITS: PeerLimits = {
  frameBytesMax: PEER_FRAME_BYTES_MAX,
  queueBytesMax: PEER_QUEUE_BYTES_MAX,
  writeBytes: 256 * 1024,
  handshakesMax: PEER_HANDSHAKES_MAX,
  handshakeMsMax: PEER_HANDSHAKE_MS_MAX,
  beatMs: PEER_BEAT_MS,
  silentBeatsMax: PEER_SILENT_BEATS_MAX,
  redialMsMin: PEER_REDIAL_MS_MIN,
  redialMsMax: PEER_REDIAL_MS_MAX,
};
