/**
 * `concordat receipt verify`: a receipt, judged offline.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { bytesOfBase64, bytesOfHex } from '../base/bytes.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import { nodeVerifier } from '../crypto/verifier-node.ts';
import { certificateOfPem } from '../crypto/x509.ts';
import { payloadClaimsDigest, type ReceiptVerdict, verifyReceipt } from '../ledger/receipt.ts';
import type { Command } from './command.ts';
import { EXIT } from './exit-codes.ts';

const USAGE = `Usage:
  concordat receipt verify FILE --service-certificate PEM [OPTIONS]

FILE holds a receipt, in JSON or COSE, or the answer of GET /transaction/{hash}/receipt.

Options:
  --service-certificate PEM   the certificate of the service that must vouch for it
  --former-services FILE      how the service vouches for those it was recovered from, for a COSE
                              receipt of one of them: the answer of GET
                              /gov/recovery/former-services?api-version=2024-07-01
  --payload FILE              the receipt must be of this payload, as --opening shows
  --opening FILE              JSON {"key": "<base64>", "salt": "<base64>"}; may be left out when
                              FILE holds it
  --claims HEX                the receipt must be of these claims (SHA-256 of them)
  --at TIME                   certificates must be valid at this time (ISO 8601); default now
  --any-time                  do not ask whether certificates are still valid
  --json                      print JSON`;

const OPTIONS = {
  'service-certificate': { type: 'string' },
  'former-services': { type: 'string' },
  payload: { type: 'string' },
  opening: { type: 'string' },
  claims: { type: 'string' },
  at: { type: 'string' },
  'any-time': { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

type Values = ReturnType<typeof parsed>['values'];

function parsed(args: readonly string[]) {
  return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, strict: true });
}

export const command: Command = {
  name: 'receipt',
  summary: 'verify a receipt, offline',
  usage: USAGE,
  run: async (args, io) => {
    const { values, positionals } = parsed(args);
    const [action, file, ...rest] = positionals;
    if (action !== 'verify') throw usage('say what to do: verify');
    if (file === undefined || rest.length > 0) throw usage('say which receipt, one at a time');
    const pem = values['service-certificate'];
    if (pem === undefined) throw usage('--service-certificate says whose word is trusted');
    const { receipt, opening } = unpacked(await read(file));
    const claimsDigest = await claimsOf(values, opening);
    const verdict = await verifyReceipt(
      receipt,
      {
        serviceCertificate: await certificateIn(pem),
        ...(claimsDigest === undefined ? {} : { claimsDigest }),
        ...(await endorsementsIn(values['former-services'])),
      },
      nodeVerifier,
      timeOf(values),
    );
    if (values.json === true) io.out(JSON.stringify(verdict));
    else for (const line of verdictLines(verdict)) io.out(line);
    return verdict.ok ? EXIT.good : EXIT.bad;
  },
};

/** A certificate that cannot be read judges nothing: that is no verdict on the receipt. */
async function certificateIn(path: string): Promise<string> {
  const pem = (await read(path)).toString('utf8');
  try {
    certificateOfPem(pem);
  } catch (cause) {
    throw new CodedError(
      'BadCertificate',
      `${path} is no certificate in PEM; --service-certificate takes the service's`,
      { path },
      { cause },
    );
  }
  return pem;
}

/** Endorsements of former services, the latest first. */
async function endorsementsIn(
  path: string | undefined,
): Promise<{ readonly endorsements?: readonly Uint8Array[] }> {
  if (path === undefined) return {};
  const value = jsonOf(await read(path), 'the list of former services') as {
    readonly value?: readonly { readonly endorsement?: unknown }[];
  };
  const endorsements = (Array.isArray(value.value) ? value.value : []).map((row) => {
    const { endorsement } = row as { readonly endorsement?: unknown };
    const bytes = typeof endorsement === 'string' ? bytesOfBase64(endorsement) : undefined;
    if (bytes !== undefined) return bytes;
    throw new CodedError('BadEndorsement', `${path} lists what is no endorsement`, { path });
  });
  return { endorsements };
}

function usage(why: string): CodedError {
  return new CodedError('Usage', why);
}

function timeOf(values: Values): number | undefined {
  if (values['any-time'] === true) return undefined;
  if (values.at === undefined) return Date.now();
  const atMs = Date.parse(values.at);
  if (Number.isNaN(atMs))
    throw usage(`--at takes a time like 2026-12-24T18:00:00Z, not ${values.at}`);
  return atMs;
}

interface Unpacked {
  readonly receipt: Uint8Array;
  readonly opening?: unknown;
}

/** A bare receipt, or one in the answer `{receipt, opening}`. */
function unpacked(bytes: Buffer): Unpacked {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    return { receipt: bytes };
  }
  if (typeof value !== 'object' || value === null || !('receipt' in value)) {
    return { receipt: bytes };
  }
  const opening: unknown = Reflect.get(value, 'opening');
  const { receipt } = value;
  const cose = typeof receipt === 'string' ? bytesOfBase64(receipt) : undefined;
  return { receipt: cose ?? Buffer.from(JSON.stringify(receipt)), opening };
}

async function claimsOf(values: Values, inFile: unknown): Promise<Uint8Array | undefined> {
  if (values.claims !== undefined) {
    if (values.payload !== undefined) throw usage('either --claims or --payload, not both');
    const digest = bytesOfHex(values.claims);
    if (digest?.length !== 32) throw usage('--claims takes 64 hexadecimal digits');
    return digest;
  }
  if (values.payload === undefined) {
    if (values.opening !== undefined) throw usage('--opening goes with --payload');
    return undefined;
  }
  const given = values.opening === undefined ? inFile : jsonOf(await read(values.opening));
  const { key, salt } = openingOf(given);
  const payload = await read(values.payload);
  return await payloadClaimsDigest({ payload, key, salt }, nodeVerifier);
}

function jsonOf(bytes: Buffer, what = 'the opening'): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new CodedError('BadOpening', `${what} is not JSON`, {}, { cause });
  }
}

function openingOf(value: unknown): { readonly key: Uint8Array; readonly salt: Uint8Array } {
  const inner =
    typeof value === 'object' && value !== null && 'opening' in value ? value.opening : value;
  const field = (name: string): Uint8Array | undefined => {
    const text: unknown =
      typeof inner === 'object' && inner !== null ? Reflect.get(inner, name) : undefined;
    return typeof text === 'string' ? (bytesOfBase64(text) ?? bytesOfHex(text)) : undefined;
  };
  const [key, salt] = [field('key'), field('salt')];
  if (key === undefined || salt === undefined) {
    const why =
      'an opening is {"key": "<base64>", "salt": "<base64>"}; say where with --opening';
    throw new CodedError('BadOpening', why);
  }
  return { key, salt };
}

function verdictLines(verdict: ReceiptVerdict): string[] {
  const what = verdict.txId === undefined ? 'a signature' : `transaction ${verdict.txId}`;
  return [
    verdict.ok
      ? `GOOD: ${what} is in this service's ledger`
      : 'BAD: this receipt proves nothing',
    ...verdict.checks.map(
      ({ name, ok, detail }) => `  ${ok ? 'ok ' : 'BAD'} ${name.padEnd(12)}${detail}`,
    ),
  ];
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new CodedError(
      'Unreadable',
      `${path} cannot be read: ${messageOf(cause)}`,
      {},
      { cause },
    );
  }
}
