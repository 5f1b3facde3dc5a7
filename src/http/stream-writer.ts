/**
 * Writes a body that comes piece by piece, no faster than its reader takes it.
 */
import type { ByteStream } from '../apps/interface.ts';
import { STREAM_PIECE_BYTES, STREAM_STALL_MS_MAX } from '../base/limits.ts';
import type { Call } from '../wire/call.ts';

/** Resolves when all is written or the connection is gone; a body cut short ends the connection. */
export async function writeStream(call: Call, stream: ByteStream): Promise<void> {
  const { socket } = call;
  const cutOff = (): void => {
    socket.destroy();
  };
  // A reader that takes nothing for so long is cut off.
  socket.setTimeout(STREAM_STALL_MS_MAX, cutOff);
  call.whenWritten(() => socket.setTimeout(0, cutOff));
  let left = stream.bytes;
  try {
    for await (const piece of stream.pieces()) {
      left -= piece.length;
      if (left < 0) break;
      if (!call.write(piece)) await call.drained();
      if (call.gone) return;
    }
    if (left === 0) {
      call.end();
      return;
    }
  } catch {
    // The status is said already: all that can be shown is that this was not the whole.
  }
  call.abort();
}

/** Bytes that lie in memory, as a stream. */
export function streamOfBytes(bytes: Uint8Array): ByteStream {
  return {
    bytes: bytes.length,
    async *pieces() {
      for (let at = 0; at < bytes.length; at += STREAM_PIECE_BYTES) {
        yield bytes.subarray(at, at + STREAM_PIECE_BYTES);
      }
    },
  };
}
