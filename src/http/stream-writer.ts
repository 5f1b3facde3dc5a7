/**
 * Writes a body that comes piece by piece, no faster than its reader takes it.
 */
import type { ServerResponse } from 'node:http';
import type { ByteStream } from '../apps/interface.ts';
import { STREAM_PIECE_BYTES, STREAM_STALL_MS_MAX } from '../base/limits.ts';

/** Resolves when all is written or the connection is gone; a body cut short ends the connection. */
export async function writeStream(response: ServerResponse, stream: ByteStream): Promise<void> {
  const { socket } = response;
  // A reader that takes nothing for so long is cut off: Node destroys the socket.
  socket?.setTimeout(STREAM_STALL_MS_MAX);
  response.once('finish', () => socket?.setTimeout(0));
  let left = stream.bytes;
  try {
    for await (const piece of stream.pieces()) {
      left -= piece.length;
      if (left < 0) break;
      if (!response.write(piece)) await writable(response);
      if (response.destroyed || response.closed) return;
    }
    if (left === 0) {
      response.end();
      return;
    }
  } catch {
    // The status is said already: all that can be shown is that this was not the whole.
  }
  response.destroy();
}

function writable(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.on('drain', done).on('close', done);
  });
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
