/**
 * The system's source of unpredictable bytes. A call for a few bytes costs as much as one for some
 * thousand (5 % of a connector's time, measured), so few are handed out of a pool: each once, and
 * overwritten there.
 */
import { randomBytes, randomFillSync } from 'node:crypto';
import type { Random } from '../base/environment.ts';

const POOL_BYTES = 4096;
/** More than this is drawn by itself. */
const POOLED_BYTES_MAX = 128;

const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;

export const systemRandom: Random = {
  bytes(count) {
    if (count > POOLED_BYTES_MAX) return randomBytes(count);
    if (used + count > POOL_BYTES) {
      randomFillSync(pool);
      used = 0;
    }
    const bytes = Buffer.alloc(count);
    pool.copy(bytes, 0, used, used + count);
    pool.fill(0, used, used + count);
    used += count;
    return bytes;
  },
};
