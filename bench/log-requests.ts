/**
 * What clients of CCF's logging application ask: the same for Concordat and for CCF.
 */
import { randomBytes } from 'node:crypto';
import type { Target } from './generator/job.ts';
import { type Load, oneRun, placeOf, REQUESTS, times } from './load.ts';
import { requestBytes } from './requests.ts';
import type { LogService } from './systems/asked.ts';

/** Messages there are to read. */
const STORED = 1024;
const HEX_BYTES = 16;

export interface LogWrite {
  /** Characters of a message; CCF's own 48 when absent. */
  readonly characters?: number;
  /** Whether the answer waits for commit: Concordat's own, CCF knows it not. */
  readonly committed?: boolean;
}

export async function logWriteTarget(
  service: LogService,
  load: Load,
  { characters, committed = false }: LogWrite = {},
  count: number = REQUESTS,
): Promise<Target> {
  const url = await service.primaryUrl();
  const extra = committed ? { 'x-concordat-wait': 'commit' } : {};
  const requests = times(count, (id) =>
    requestBytes({
      method: 'POST',
      path: '/app/log/private',
      host: url.host,
      headers: { 'Content-Type': 'application/json', ...extra },
      body: JSON.stringify({ id, msg: messageOf(characters) }),
    }),
  );
  return {
    ...{ ...placeOf(url, load), tls: service.credentials() },
    ...{ requests, expectedStatus: 200 },
  };
}

/** A text of chance. */
function messageOf(characters: number | undefined): string {
  if (characters === undefined) {
    return `Unique message: ${randomBytes(HEX_BYTES).toString('hex')}`;
  }
  return randomBytes(Math.ceil(characters / 2))
    .toString('hex')
    .slice(0, characters);
}

export async function logReadTarget(service: LogService, load: Load): Promise<Target> {
  // Several connections are not equally fast and would leave gaps: one goes through every number.
  const alone = { ...load, connections: 1, inFlight: 1 };
  await oneRun(load.generator, await logWriteTarget(service, alone, {}, STORED), STORED);
  const url = await service.primaryUrl();
  const requests = times(STORED, (id) =>
    requestBytes({ method: 'GET', path: `/app/log/private?id=${id}`, host: url.host }),
  );
  return {
    ...{ ...placeOf(url, load), tls: service.credentials() },
    ...{ requests, expectedStatus: 200 },
  };
}
