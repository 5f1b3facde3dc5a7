// Named points at which a process may die: around what its promises hang on.

import type { Operation } from './simulated-disk.ts';

export const CRASH_POINTS = [
  'before append',
  'after append',
  'before fsync',
  'after fsync',
  'before rename',
  'after rename',
  'before folder sync',
  'vote written',
  'vote renamed',
  'truncation',
  'snapshot written',
  'snapshot renamed',
  'secret sealed',
  'signature made',
  'commit advanced',
] as const;

export type CrashPoint = (typeof CRASH_POINTS)[number];

/** The points that an operation of the disk passes. */
export function pointsOf(
  { kind, path }: Operation,
  when: 'before' | 'after',
): readonly CrashPoint[] {
  const points: CrashPoint[] = [];
  const isBefore = when === 'before';
  const add = (holds: boolean, point: CrashPoint): void => {
    if (holds) points.push(point);
  };
  const isLedger = path.includes('/ledger/');
  add(isLedger && kind === 'write', isBefore ? 'before append' : 'after append');
  add(isLedger && kind === 'sync', isBefore ? 'before fsync' : 'after fsync');
  add(isLedger && kind === 'rename', isBefore ? 'before rename' : 'after rename');
  add(isLedger && kind === 'truncate', 'truncation');
  add(kind === 'sync-folder' && isBefore, 'before folder sync');
  add(path.includes('/votes/') && kind === 'write', 'vote written');
  add(path.includes('/votes/') && kind === 'rename', 'vote renamed');
  add(path.includes('/snapshots/') && kind === 'write', 'snapshot written');
  add(path.includes('/snapshots/') && kind === 'rename', 'snapshot renamed');
  add(path.includes('/sealed/') && kind === 'rename', 'secret sealed');
  return points;
}
