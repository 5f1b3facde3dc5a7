/**
 * The system's source of unpredictable bytes.
 */
import { randomBytes } from 'node:crypto';
import type { Random } from '../base/environment.ts';

export const systemRandom: Random = { bytes: (count) => randomBytes(count) };
