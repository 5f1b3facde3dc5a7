// A service on hardware, in processes of its own, lets in nodes that run its code on good hardware
// and can prove it. Everybody else is refused, by the name of what is wrong: by the joiner itself
// where its own evidence would convince nobody, and by the service however it is asked.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Evidence } from '../../src/attestation/evidence.ts';
import type { NodeReadyLine } from '../../src/cli/node/node-ready.ts';
import { sha256 } from '../../src/crypto/hash.ts';
import { openHttpSources } from '../../src/node/joining/http-join-source.ts';
import type { JoinReply } from '../../src/node/joining/join-source.ts';
import {
  type ChipOptions,
  fakePki,
  MEASUREMENT,
  signedReport,
  snpEvidence,
  TCBS,
} from '../attestation/fake-pki.ts';
import { firstNodeFiles, freePort } from '../cli/node-files.ts';
import { newJoiner } from '../governance/small-service.ts';
import { bodyOf } from './join-desk.ts';
import { type MachineFile, writeMachine } from './machine-files.ts';

const PROGRAM = join(import.meta.dirname, 'node-on-fake-hardware.ts');
const HARDENING = ['--disallow-code-generation-from-strings', '--disable-proto=delete'];

const pki = fakePki('Milan');
const GOOD: MachineFile = { chip: pki.chip(), roots: pki.roots, measurement: MEASUREMENT };
const EXPIRED = { certificate: { notAfterMs: Date.UTC(2026, 0, 1) } };
const OLD = { tcb: { ...TCBS.Milan, snp: TCBS.Milan.snp - 1 } };

const folder = mkdtempSync(join(tmpdir(), 'concordat-refused-'));
const children: ChildProcess[] = [];
let founder: Started;
let config: string;

interface Started {
  readonly child: ChildProcess;
  readonly ready: NodeReadyLine;
  said(): string;
}

interface Line {
  readonly ready?: true;
  readonly code?: string;
  readonly message?: string;
}

beforeAll(async () => {
  const attestation = { revocation_lists: ['amd.crl'] };
  mkdirSync(join(folder, 'founder'));
  writeFileSync(join(folder, 'founder/amd.crl'), pki.crl());
  config = (await firstNodeFiles(join(folder, 'founder'), { attestation })).path;
  founder = await startFounder(GOOD);
}, 60_000);
afterAll(async () => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
  await Promise.all(
    children.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit')),
  );
  rmSync(folder, { recursive: true, force: true });
});

/** Starts a node; its first line, and what it says besides. */
async function run(
  file: string,
  machine: MachineFile,
): Promise<{ readonly child: ChildProcess; readonly line: Promise<Line>; said(): string }> {
  const path = join(folder, `machine-${children.length}.json`);
  writeMachine(path, machine);
  const child = spawn(process.execPath, [...HARDENING, PROGRAM, file, path], { stdio: 'pipe' });
  children.push(child);
  let said = '';
  child.stderr.on('data', (piece) => {
    said += String(piece);
  });
  const first = once(createInterface({ input: child.stdout }), 'line');
  const ended = once(child, 'close').then(() => [`{"code":"Ended","message":""}`]);
  const line = Promise.race([first, ended]).then(([text]) => JSON.parse(String(text)) as Line);
  return { child, line, said: () => said };
}

async function startFounder(machine: MachineFile): Promise<Started> {
  const { child, line, said } = await run(config, machine);
  const ready = await line;
  if (ready.ready !== true) throw new Error(`${JSON.stringify(ready)} ${said()}`);
  return { child, ready: ready as NodeReadyLine, said };
}

async function joinerFile(): Promise<string> {
  const home = join(folder, `joiner-${children.length}`);
  mkdirSync(home);
  const at = async (): Promise<{ readonly bind_address: string }> => ({
    bind_address: `127.0.0.1:${await freePort()}`,
  });
  const path = join(home, 'config.json');
  const settings = {
    folder: 'node',
    network: {
      node_to_node_interface: await at(),
      rpc_interfaces: { primary_rpc_interface: await at() },
    },
    command: {
      type: 'Join',
      service_certificate_file: founder.ready.service.certificate,
      join: {
        target_rpc_address: founder.ready.url.replace('https://', ''),
        retry_timeout: '50ms',
      },
    },
  };
  writeFileSync(path, JSON.stringify(settings));
  return path;
}

/** What becomes of a joiner on a machine that the service or itself refuses. */
async function refusedOn(machine: Partial<MachineFile>): Promise<Line> {
  const { line } = await run(await joinerFile(), { ...GOOD, ...machine });
  return await line;
}

const chip = (options: ChipOptions): Partial<MachineFile> => ({ chip: pki.chip(options) });

async function served<Body>(path: string): Promise<Body> {
  const agent = new Agent({ ca: readFileSync(founder.ready.service.certificate) });
  return await new Promise((resolve, reject) => {
    get(`${founder.ready.url}${path}`, { agent }, (response) => {
      let text = '';
      response.on('data', (piece) => {
        text += String(piece);
      });
      response.on('end', () => resolve(JSON.parse(text) as Body));
    }).on('error', reject);
  });
}

interface Quote {
  readonly node_id: string;
  readonly raw: string;
  readonly endorsements: string;
  readonly format: string;
  readonly measurement: string;
}

const measured = Buffer.from(MEASUREMENT).toString('hex');

test('a founder shows what it proves itself by', async () => {
  expect(founder.ready.platform).toBe('snp');
  expect(founder.said()).not.toContain('nothing is attested');
  const own = await served<Quote>('/node/quotes/self');
  expect(own).toMatchObject({
    node_id: founder.ready.nodeId,
    format: 'AMD_SEV_SNP_v1',
    measurement: measured,
    endorsements: Buffer.from(GOOD.chip.chain).toString('base64'),
  });
  expect(own).not.toHaveProperty('insecure');
  const bound = Buffer.from(own.raw, 'base64').subarray(0x50, 0x70);
  expect(bound.toString('hex')).toBe(founder.ready.nodeId);
  expect(await served('/node/attestations/self')).toEqual(own);
  expect(await served('/node/quotes')).toEqual({ quotes: [own] });
  expect(await served('/node/attestations')).toEqual({ attestations: [own] });
  expect(await served('/node/version')).toMatchObject({ concordat_platform: 'snp' });
});

test('a node like the founder is let in, to wait for members', async () => {
  const joiner = await run(await joinerFile(), { ...GOOD, ...chip({}) });
  for (
    let waits = 0;
    !joiner.said().includes('waiting to be trusted') && waits < 400;
    waits += 1
  ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(joiner.said()).toMatch(/waiting to be trusted as node [0-9a-f]{64}/);
  joiner.child.kill('SIGKILL');
}, 60_000);

test.each<[string, Partial<MachineFile>, RegExp]>([
  [
    'other code',
    { measurement: new Uint8Array(48).fill(0x0e) },
    /401 InvalidQuote: Quote does not contain known enclave measurement: MeasurementNot/,
  ],
  [
    'older firmware',
    chip(OLD),
    /401 InvalidQuote: TCB version of the quote is below the minimum: TcbBelowMinimum/,
  ],
])(
  'the service refuses a node with %s',
  async (_what, machine, message) => {
    const refused = await refusedOn(machine);
    expect(refused.code, JSON.stringify(refused)).toBe('JoinRefused');
    expect(refused.message).toMatch(message);
  },
  60_000,
);

const OTHERS_KEY = new Uint8Array(64).fill(5, 0, 32);

test.each<[string, () => Partial<MachineFile> | Promise<Partial<MachineFile>>, RegExp]>([
  ['for another key', () => ({ reportData: OTHERS_KEY }), /ReportDataMismatch/],
  ['of another node', async () => ({ shows: await quoteOfFounder() }), /ReportDataMismatch/],
  ['with an expired certificate', () => chip(EXPIRED), /LeafExpired/],
])(
  'a node does not even ask with evidence %s',
  async (_what, machine, message) => {
    const refused = await refusedOn(await machine());
    expect(refused.code, JSON.stringify(refused)).toBe('OwnEvidenceRefused');
    expect(refused.message).toMatch(message);
  },
  60_000,
);

/** What anybody can read of the founder. */
async function quoteOfFounder(): Promise<Evidence> {
  const { raw, endorsements } = await served<Quote>('/node/quotes/self');
  return { format: 'AMD_SEV_SNP_v1', quote: raw, endorsements };
}

function evidenceOf(machine: Partial<MachineFile>, reportData: Uint8Array): Evidence {
  const { chip: its, measurement } = { ...GOOD, ...machine };
  const field = new Uint8Array(64);
  field.set(reportData);
  return snpEvidence(signedReport(its, { reportData: field, measurement }), its.chain);
}

/** Posts evidence as anybody can, with a key that the evidence may be made for. */
async function posted(
  made: (key: Uint8Array) => Evidence | Promise<Evidence>,
): Promise<JoinReply> {
  const joiner = await newJoiner(await freePort());
  const sources = openHttpSources({
    certificatePem: joiner.certificatePem,
    key: joiner.key,
    serviceCertificatePem: readFileSync(founder.ready.service.certificate, 'utf8'),
  });
  try {
    const evidence = await made(sha256(joiner.key.publicKeyDer));
    const body = { ...bodyOf(joiner), quote_info: evidence };
    const source = sources.at(founder.ready.url.replace('https://', ''));
    return await source.join(Buffer.from(JSON.stringify(body)));
  } finally {
    sources.close();
  }
}

test.each<[string, (key: Uint8Array) => Evidence | Promise<Evidence>, RegExp | undefined]>([
  ['good evidence', (key) => evidenceOf({}, key), undefined],
  [
    'evidence of other code',
    (key) => evidenceOf({ measurement: new Uint8Array(48) }, key),
    /known enclave measurement: MeasurementNotAccepted/,
  ],
  [
    'evidence for another key',
    () => evidenceOf({}, OTHERS_KEY.subarray(0, 32)),
    /does not contain node's public key hash: ReportDataMismatch/,
  ],
  [
    'the evidence of another node',
    () => quoteOfFounder(),
    /public key hash: ReportDataMismatch/,
  ],
  [
    'evidence of older firmware',
    (key) => evidenceOf(chip(OLD), key),
    /below the minimum: TcbBelowMinimum/,
  ],
  [
    'evidence with an expired certificate',
    (key) => evidenceOf(chip(EXPIRED), key),
    /could not be verified: LeafExpired/,
  ],
])('whoever posts %s', async (_what, made, message) => {
  const reply = await posted(made);
  if (message === undefined) expect(reply).toMatchObject({ kind: 'answer' });
  else {
    expect(reply).toMatchObject({
      kind: 'refused',
      status: 401,
      code: 'InvalidQuote',
      message: expect.stringMatching(message),
    });
  }
});

test('what AMD revokes counts from the moment that its list says so', async () => {
  const list = join(folder, 'founder/amd.crl');
  const good = (key: Uint8Array): Evidence => evidenceOf({}, key);
  writeFileSync(list, pki.crl({ revoked: [pki.ask.serial] }));
  expect(await posted(good)).toMatchObject({
    status: 401,
    message: expect.stringMatching(/could not be verified: IntermediateRevoked/),
  });
  rmSync(list);
  expect(await posted(good)).toMatchObject({ status: 503, code: 'NoRevocationList' });
  writeFileSync(list, pki.crl());
  expect(await posted(good)).toMatchObject({ kind: 'answer' });
});

test('a founder that starts again shows fresh evidence, or what the ledger has', async () => {
  const before = await served<Quote>('/node/quotes/self');
  const again = async (machine: MachineFile): Promise<Quote> => {
    founder.child.kill('SIGTERM');
    if (founder.child.exitCode === null) await once(founder.child, 'exit');
    founder = await startFounder(machine);
    return await served<Quote>('/node/quotes/self');
  };
  const fresh = await again({ ...GOOD, ...chip({ tcb: { ...TCBS.Milan, microcode: 220 } }) });
  expect(fresh.endorsements).not.toBe(before.endorsements);
  // The row stays what the node was let in with.
  expect(await served('/node/quotes')).toEqual({ quotes: [before] });

  expect(founder.said()).not.toContain('would not be let in');
  const older = await again({ ...GOOD, ...chip(OLD) });
  expect(older.node_id).toBe(before.node_id);
  expect(founder.said()).toContain('this node would not be let in: TCB version of the quote');

  const kept = await again({ ...GOOD, isBroken: true });
  expect(kept).toEqual(before);
  expect(founder.said()).toContain('so that of the ledger is shown: no evidence from the fake');
}, 90_000);
