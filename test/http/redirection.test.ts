// Redirect mode: an interface that has it forwards nothing, and tells its clients where to go
// (http-api.md §4).

import { afterEach, describe, expect, test } from 'vitest';
import { type Application, answer } from '../../src/apps/interface.ts';
import type { FrontDoorOptions } from '../../src/http/front-door.ts';
import type { PlacedEndpoint } from '../../src/http/placement.ts';
import type { Redirections } from '../../src/http/redirector.ts';
import { askOnce, codeOf, type Reply } from './client.ts';
import { type House, openPair, type Pair } from './house.ts';

const heavy: PlacedEndpoint = {
  verb: 'GET',
  path: '/heavy',
  authentication: ['no_auth'],
  effect: 'read',
  reads: 'current',
  answers: 'local',
  summary: 'what the primary can be spared',
  redirection: 'to_backup',
  handle: () => answer({ status: 200, body: 'done' }),
};
const application: Application = { name: 'heavy', archivedTables: [], endpoints: [heavy] };

let pair: Pair;

async function open(redirections: Redirections = {}): Promise<void> {
  const options: FrontDoorOptions = { redirections };
  const both = { ...options, applications: [application] };
  pair = await openPair({ primary: both, backup: both });
}

afterEach(() => pair.close());

const write = (house: House): Promise<Reply> =>
  askOnce(house, undefined, 'POST', '/log/private/anonymous?a=%20b', {
    body: '{"id":1,"msg":"m"}',
  });

const place = ({ status, headers, body }: Reply): unknown => [
  status,
  headers.get('location'),
  body.length,
];

describe('a write', () => {
  test('at a backup is redirected, whole, to the interface of the same name', async () => {
    await open();
    const target = 'https://127.0.0.1:8000/log/private/anonymous?a=%20b';
    expect(place(await write(pair.backup))).toEqual([307, target, 0]);
    expect(pair.backup.service.forwarded).toHaveLength(0);
    expect(pair.backup.door.stats().counters).toMatchObject({ redirected: 1, forwarded: 0 });
    expect((await write(pair.primary)).status).toBe(200);
  });

  test('is redirected before anybody asks who sends it', async () => {
    await open();
    const reply = await askOnce(pair.backup, undefined, 'DELETE', '/app/log/private?id=1');
    expect(place(reply)).toEqual([307, 'https://127.0.0.1:8000/app/log/private?id=1', 0]);
  });

  test.each([
    ['an address that is always the same', staticAddress('service.example:443'), 307],
    ['an interface that it has', byRole('primary', 'primary_rpc_interface'), 307],
    ['an interface that it has not', byRole('primary', 'elsewhere'), 503],
  ] as const)('goes to %s', async (_what, toPrimary, status) => {
    await open({ toPrimary });
    const reply = await write(pair.backup);
    expect(reply.status).toBe(status);
    if (status === 503) expect(codeOf(reply)).toBe('PrimaryNotFound');
    if (toPrimary.kind === 'StaticAddress') {
      expect(reply.headers.get('location')).toMatch(/^https:\/\/service\.example:443\/log/);
    }
  });

  test('that finds no primary is a 503', async () => {
    await open();
    pair.backup.service.primaryId = undefined;
    const reply = await write(pair.backup);
    expect([reply.status, codeOf(reply)]).toEqual([503, 'PrimaryNotFound']);
  });
});

describe('a read', () => {
  test('is answered by whom it reached', async () => {
    await open();
    const { user } = pair.backup;
    const reply = await askOnce(pair.backup, user, 'GET', '/app/log/private/count');
    expect(reply.status).toBe(200);
  });

  test('that the primary can be spared is redirected by it, and by no backup', async () => {
    await open();
    const atPrimary = await askOnce(pair.primary, undefined, 'GET', '/heavy');
    expect(place(atPrimary)).toEqual([307, 'https://127.0.0.1:8001/heavy', 0]);
    expect((await askOnce(pair.backup, undefined, 'GET', '/heavy')).status).toBe(200);
  });

  test('that finds no such node is a 503', async () => {
    await open({ toBackup: byRole('backup', 'elsewhere') });
    const reply = await askOnce(pair.primary, undefined, 'GET', '/heavy');
    expect([reply.status, codeOf(reply)]).toEqual([503, 'BackupNotFound']);
  });
});

test('what sends its clients on itself is left to do so', async () => {
  await open();
  const reply = await askOnce(pair.backup, undefined, 'HEAD', '/node/primary');
  expect(place(reply)).toEqual([308, 'https://127.0.0.1:8000/node/primary', 0]);
});

function byRole(role: 'primary' | 'backup', name: string): Redirections['toPrimary'] & object {
  return { kind: 'NodeByRole', target: { role, interface: name } };
}

function staticAddress(address: string): Redirections['toPrimary'] & object {
  return { kind: 'StaticAddress', target: { address } };
}
