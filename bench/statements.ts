/**
 * What must be said with figures: who was measured on what terms, and what makes them doubtful.
 */
import { VERSION } from '../src/base/version.ts';
import type { BenchOptions } from './arguments.ts';
import { DISTURBED } from './measure.ts';
import type { SystemStatement, WorkResult } from './result.ts';
import { percent } from './statistics.ts';
import { APPEND_SYNC } from './systems/append-sync.ts';
import { BARE_HTTPS, PARTS } from './systems/bare-https.ts';
import { CONCORDAT } from './systems/concordat.ts';

/** A generator busier than this sets the figure rather than what it asks. */
const CLIENT_BOUND = 0.9;

/** What each system is in this run. */
export function statementsOf(options: BenchOptions): readonly SystemStatement[] {
  const { connections, payloadBytes, durability } = options;
  const load = `${connections} connections, one request at a time on each`;
  const synced =
    durability === 'fsync'
      ? 'answers that wait for commit come after fdatasync'
      : 'answers that wait for commit come once the system has the bytes';
  return [
    {
      name: CONCORDAT,
      version: VERSION,
      durability: synced,
      load: `${load}; payloads of ${payloadBytes} bytes`,
    },
    {
      name: BARE_HTTPS,
      version: `node:https ${process.version}`,
      durability: 'keeps nothing',
      load: `${load}; the same requests and answers, over mTLS`,
    },
    {
      name: PARTS,
      version: `node:https and node:crypto ${process.version}`,
      durability: 'keeps nothing',
      load: `${load}; seals and hashes an entry for each request as well`,
    },
    {
      name: APPEND_SYNC,
      version: `node:fs ${process.version}`,
      durability: durability === 'fsync' ? 'fdatasync after each batch' : 'no flush',
      load: 'batches of as many records as requests are on their way, as large as one write',
    },
  ];
}

/** What a reader must know before believing a figure. */
export function warningsOf(
  works: readonly WorkResult[],
  fileSystem: string,
  { profile, durability }: BenchOptions,
): readonly string[] {
  const warnings: string[] = [];
  for (const { name, systems, othersBusyRounds } of works) {
    const busiest = Math.max(...othersBusyRounds);
    if (busiest > DISTURBED) {
      warnings.push(`${name}: others used up to ${percent(busiest)} of the machine in a round`);
    }
    for (const figures of systems) {
      if ((figures.generatorBusy ?? 0) <= CLIENT_BOUND) continue;
      const busy = percent(figures.generatorBusy ?? 0);
      warnings.push(
        `${name}, ${figures.name}: the load generator was busy ${busy} of the time, so the ` +
          'figure is rather a least than a measure',
      );
    }
  }
  if (fileSystem === 'tmpfs' && durability === 'fsync') {
    warnings.push('the folder is on tmpfs, where a flush costs nothing: use --data DIR');
  }
  if (profile !== undefined) warnings.push('profiled: the figures are void');
  return warnings;
}
