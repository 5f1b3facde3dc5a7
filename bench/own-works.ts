/**
 * The works that are no requests of many clients.
 */
import { commitWork } from './commit-work.ts';
import type { OwnWork } from './own-work.ts';
import { restartWork } from './restart-work.ts';
import { verifyWork } from './verify-work.ts';

export const OWN_WORKS: readonly OwnWork[] = [
  commitWork(1),
  commitWork(3),
  verifyWork('many'),
  verifyWork('one'),
  restartWork,
];
