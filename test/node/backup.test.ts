// A backup of a running service: what is committed in closed chunks lies in its folder, verified;
// it goes on after an interruption, believes nobody's bytes, and a service comes back from it.

import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { verifyLedger } from '../../src/audit/ledger.ts';
import { systemKeys } from '../../src/crypto/key-source.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { Backup, type BackupDependencies } from '../../src/node/backing-up/backup.ts';
import { HttpStore } from '../../src/node/backing-up/store.ts';
import { durableDisk } from '../../src/node/durable-disk.ts';
import { openHttpSources } from '../../src/node/joining/http-join-source.ts';
import type { JoinSources } from '../../src/node/joining/join-source.ts';
import { realTimers } from '../../src/node/real-time.ts';
import { freePort } from '../cli/node-files.ts';
import { eventually } from '../support/cluster-rig.ts';
import { Service } from '../support/cluster-service.ts';
import { allowOpening, Disaster, opened, submitOwn, withMembers } from '../support/disaster.ts';
import { holdsRow } from '../support/node-rig.ts';
import { recoveryMembers } from '../support/recovery-members.ts';

let disaster: Disaster;
let service: Service;
let target = '';
let certificate = '';
const closing: JoinSources[] = [];
const members = recoveryMembers(['Participant', 'Participant']);

beforeEach(async () => {
  disaster = await Disaster.begin();
  service = await Service.of(1, { port: await freePort(), chunkBytes: 4_000 });
  await withMembers(service, members, 2);
  const { node } = await service.primary();
  const { host, port } = await node.listen();
  target = `${host}:${port}`;
  certificate = node.serviceCertificatePem;
});

afterEach(async () => {
  for (const sources of closing.splice(0)) sources.close();
  await service.end();
  await disaster.end();
});

async function backupTo(
  folder: string,
  more: Partial<BackupDependencies> & {
    readonly wrap?: (sources: JoinSources) => JoinSources;
  } = {},
): Promise<Backup> {
  const { wrap, ...rest } = more;
  const key = systemKeys.generateSigningKey('P-256');
  const validity = { fromMs: Date.now() - 3_600_000, days: 2 };
  const sources = openHttpSources({
    certificatePem: await systemKeys.selfSignedCertificate(key, 'CN=Backup', validity),
    key,
    serviceCertificatePem: certificate,
  });
  closing.push(sources);
  const backup = new Backup(
    { folder, targets: [target], serviceCertificatePem: certificate, retryMs: 20 },
    {
      disk: durableDisk,
      timers: realTimers,
      log: { info: () => undefined, warn: () => undefined, progress: () => undefined },
      verifier: nodeVerifier,
      sources: wrap === undefined ? sources : wrap(sources),
      committed: async () => (await service.primary()).node.committed(),
      ...rest,
    },
  );
  await backup.begin();
  return backup;
}

const folder = (): string => join(disaster.root, 'backup');

describe('a backup', () => {
  test('follows the service, is a ledger that verifies, and brings the service back', async () => {
    const backup = await backupTo(folder());
    await service.write(15);
    const early = await backup.round();
    expect(early.recoveryPointSeqno).toBeGreaterThan(0);
    const { node } = await service.primary();
    node.requestSnapshot();
    await service.write(15);
    await eventually('a snapshot', () => node.files.newestSnapshot() !== undefined);
    await service.write(15);
    const late = await backup.round();
    expect(late.recoveryPointSeqno).toBeGreaterThan(early.recoveryPointSeqno);
    expect(late.committedSeqno).toBeGreaterThanOrEqual(late.recoveryPointSeqno);
    expect(late.snapshotSeqno).toBeGreaterThan(0);
    const verdict = await verifyLedger(join(folder(), 'ledger'), {
      serviceCertificate: certificate,
    });
    expect(verdict).toMatchObject({ ok: true, lastVerified: late.recoveryPoint });
    await service.crash(await service.primary());

    const request = { ledgers: [folder()], previousCertificatePem: certificate };
    await expect(disaster.recover(request)).rejects.toMatchObject({
      code: 'CompletenessUnproven',
      fields: { provenTo: late.recoveryPoint },
    });
    const recovered = (await disaster.recover({ ...request, acceptLoss: true })).node;
    await allowOpening(recovered, certificate);
    for (const member of members) await submitOwn(recovered, member);
    await opened(recovered);
    const kept = [...service.acknowledged].filter(
      ([, { seqno }]) => seqno <= late.recoveryPointSeqno,
    );
    expect(kept.length).toBeGreaterThan(20);
    expect(kept.filter(([number]) => !holdsRow(recovered, number))).toEqual([]);
  }, 20_000);

  test('goes on where it was, and sets aside what was changed meanwhile', async () => {
    await service.write(20);
    const first = await (await backupTo(folder())).round();
    const ledger = join(folder(), 'ledger');
    const names = (await readdir(ledger)).sort();
    await service.write(10);
    const again = await backupTo(folder());
    expect(again.state.recoveryPoint).toBe(first.recoveryPoint);
    const more = await again.round();
    expect(more.recoveryPointSeqno).toBeGreaterThan(first.recoveryPointSeqno);
    expect(await readdir(ledger)).toEqual(expect.arrayContaining(names));
    const [name = ''] = names;
    const bytes = await readFile(join(ledger, name));
    const changed = Buffer.from(bytes);
    changed[200] = (changed[200] ?? 0) ^ 1;
    await writeFile(join(ledger, name), changed);
    const healed = await (await backupTo(folder())).round();
    expect(healed.recoveryPointSeqno).toBeGreaterThanOrEqual(more.recoveryPointSeqno);
    expect(await readFile(join(ledger, name))).toEqual(bytes);
    expect(await readdir(join(folder(), 'set-aside'))).toContain(name);
  }, 20_000);

  test('takes no bytes for good because a node offers them', async () => {
    await service.write(20);
    const wrap = (sources: JoinSources): JoinSources => ({
      close: () => undefined,
      at: (address) => {
        const source = sources.at(address);
        const chunkWith: typeof source.chunkWith = async (seqno) => {
          const offered = await source.chunkWith(seqno);
          if (offered === undefined) return undefined;
          const { sha256: _own, ...rest } = offered;
          return {
            ...rest,
            read: async (from, to) => {
              const bytes = Buffer.from(await offered.read(from, to));
              if (from <= 300 && to > 300) bytes[300 - from] = (bytes[300 - from] ?? 0) ^ 1;
              return bytes;
            },
          };
        };
        return {
          address: source.address,
          join: (body) => source.join(body),
          addresses: () => source.addresses(),
          statusOf: (txId) => source.statusOf(txId),
          newestSnapshot: () => source.newestSnapshot(),
          chunkWith,
        };
      },
    });
    const backup = await backupTo(folder(), { wrap });
    await expect(backup.round()).rejects.toMatchObject({ code: 'LedgerRefused' });
    expect(await readdir(join(folder(), 'ledger'))).toEqual([]);
  }, 20_000);

  test('is of one service, in a folder of its own', async () => {
    await backupTo(folder());
    const other = await Service.of(1);
    const mine = certificate;
    certificate = (await other.primary()).node.serviceCertificatePem;
    await other.end();
    await expect(backupTo(folder())).rejects.toMatchObject({ code: 'ForeignFolder' });
    certificate = mine;
    await rename(join(folder(), 'backup.json'), join(folder(), 'notes.txt'));
    await expect(backupTo(folder())).rejects.toMatchObject({ code: 'ForeignFolder' });
  }, 20_000);
});

describe('an object store', () => {
  test('is sent each file once, and what it had from a former run not again', async () => {
    const kept = new Map<string, number>();
    const puts: string[] = [];
    let isAway = true;
    const server = createServer((request, response) => {
      const name = request.url ?? '';
      if (isAway) response.writeHead(503).end();
      else if (request.method === 'HEAD') {
        const length = kept.get(name);
        if (length === undefined) response.writeHead(404).end();
        else response.writeHead(200, { 'content-length': length }).end();
      } else {
        let length = 0;
        request.on('data', (piece: Buffer) => {
          length += piece.length;
        });
        request.on('end', () => {
          kept.set(name, length);
          puts.push(name);
          response.writeHead(201).end();
        });
      }
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address() as AddressInfo;
    const address = `http://127.0.0.1:${port}/box?sig=secret`;
    try {
      await service.write(20);
      const backup = await backupTo(folder(), { store: new HttpStore(address) });
      const refusal = await backup.round().catch((error: Error) => error);
      expect(refusal).toMatchObject({ code: 'StoreRefused' });
      expect((refusal as Error).message).not.toContain('secret');
      isAway = false;
      const { stored, chunks } = await backup.round();
      expect(stored).toBe(chunks + 1);
      expect(puts.at(-1)).toBe('/box/backup.json?sig=secret');
      const before = puts.length;
      const again = await backupTo(folder(), { store: new HttpStore(address) });
      await again.round();
      expect(puts.length).toBe(before);
      for (const name of await readdir(join(folder(), 'ledger'))) {
        const bytes = await readFile(join(folder(), 'ledger', name));
        expect(kept.get(`/box/ledger/${name}?sig=secret`)).toBe(bytes.length);
      }
    } finally {
      server.close();
    }
  }, 20_000);
});
