/**
 * One private exchange, told as it happens: organisation 1 sends to 2, 2 reads it, 3 is not told
 * that it exists, and the receipt verifies against the service's certificate alone.
 */
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { base64Of, bytesOfBase64, equalBytes, NO_BYTES, utf8 } from '../../base/bytes.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import { nodeVerifier } from '../../crypto/verifier-node.ts';
import { payloadClaimsDigest, verifyReceipt } from '../../ledger/receipt.ts';
import type { ReadyLine } from './ready-line.ts';

export interface DemoResult {
  readonly ok: boolean;
  /** TxIDs by what they did. */
  readonly transactions: Readonly<Record<string, string>>;
  readonly counts: Readonly<Record<string, number>>;
  readonly reason?: string;
}

interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

const JSON_TYPE = 'application/vnd.tessera-2.1+json';
/** A receipt is there once the transaction's signature is committed; this long it may take. */
const RECEIPT_MS_MAX = 5_000;

/** Runs the exchange; a step that goes wrong is in the result, with its reason. */
export async function runDemo(
  ready: ReadyLine,
  say: (text: string) => void,
): Promise<DemoResult> {
  const progress = {
    transactions: {} as Record<string, string>,
    sent: 0,
    read: 0,
    refused: 0,
    receipts: 0,
  };
  const counts = (): Record<string, number> => {
    const { sent, read, refused, receipts } = progress;
    return { sent, read, refused, receipts };
  };
  try {
    await exchange(ready, say, progress);
    return { ok: true, transactions: progress.transactions, counts: counts() };
  } catch (error) {
    const reason = messageOf(error);
    say(`It failed: ${reason}`);
    return { ok: false, transactions: progress.transactions, counts: counts(), reason };
  }
}

async function exchange(
  ready: ReadyLine,
  say: (text: string) => void,
  progress: {
    transactions: Record<string, string>;
    sent: number;
    read: number;
    refused: number;
    receipts: number;
  },
): Promise<void> {
  const [first, second, third] = ready.organisations;
  if (first === undefined || second === undefined || third === undefined) {
    throw new CodedError(
      'Usage',
      'the demonstration needs three organisations: --organisations 3',
    );
  }
  const payload = utf8('the price is 42');
  say(
    `${first.name} sends "the price is 42" to ${second.name}, over its socket, as GoQuorum does.`,
  );
  const sent = await ask(first.transactionManager.socket, 'POST', '/send', {
    payload: base64Of(payload),
    from: first.partyKeys[0],
    to: [second.partyKeys[0]],
  });
  expectStatus(sent, 201, 'sending');
  const { key } = JSON.parse(sent.body.toString()) as { key: string };
  progress.sent += 1;
  say(`  It is committed: signed, on stable storage, under the key ${key.slice(0, 24)}…`);

  const path = `/transaction/${encodeURIComponent(key)}`;
  const read = await ask(second.transactionManager.socket, 'GET', path);
  expectStatus(read, 200, 'reading as a party');
  const answer = JSON.parse(read.body.toString()) as { payload: string };
  const seen = bytesOfBase64(answer.payload) ?? NO_BYTES;
  if (!equalBytes(seen, payload)) throw new Error('organisation 2 read another payload');
  progress.read += 1;
  say(`${second.name} asks for that key and reads "${Buffer.from(seen).toString()}".`);

  const foreign = await ask(third.transactionManager.socket, 'GET', path);
  expectStatus(foreign, 404, 'reading as a stranger');
  progress.refused += 1;
  say(`${third.name} asks for the same key and is told: ${foreign.body.toString()}`);
  say('  That is what it is told of a key that never existed, too.');

  const receipt = await receiptOf(second.transactionManager.socket, path);
  const { opening } = receipt;
  const salt = bytesOfBase64(opening.salt) ?? NO_BYTES;
  const keyBytes = bytesOfBase64(opening.key) ?? NO_BYTES;
  const claimsDigest = await payloadClaimsDigest(
    { payload, key: keyBytes, salt },
    nodeVerifier,
  );
  const verdict = await verifyReceipt(
    utf8(JSON.stringify(receipt.receipt)),
    { serviceCertificate: readFileSync(ready.service.certificate, 'utf8'), claimsDigest },
    nodeVerifier,
    Date.now(),
  );
  const failed = verdict.checks.find((check) => !check.ok);
  if (failed !== undefined) throw new Error(`the receipt does not verify: ${failed.detail}`);
  progress.receipts += 1;
  progress.transactions.stored = verdict.txId ?? '';
  say(
    `The receipt says that this payload is in transaction ${verdict.txId ?? '?'} of the ledger; ` +
      `it verifies (${verdict.checks.length} checks) with the service's certificate alone.`,
  );
}

async function receiptOf(
  socketPath: string,
  path: string,
): Promise<{ receipt: unknown; opening: { key: string; salt: string } }> {
  for (let waitedMs = 0; ; waitedMs += 50) {
    const reply = await ask(socketPath, 'GET', `${path}/receipt`);
    if (reply.status !== 202 || waitedMs >= RECEIPT_MS_MAX) {
      expectStatus(reply, 200, 'asking for the receipt');
      return JSON.parse(reply.body.toString()) as Awaited<ReturnType<typeof receiptOf>>;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function expectStatus(reply: Reply, status: number, what: string): void {
  if (reply.status === status) return;
  throw new Error(
    `${what} was answered ${reply.status}, not ${status}: ${reply.body.toString()}`,
  );
}

function ask(socketPath: string, method: string, path: string, json?: unknown): Promise<Reply> {
  const body = json === undefined ? undefined : JSON.stringify(json);
  const headers = body === undefined ? {} : { 'content-type': JSON_TYPE, accept: JSON_TYPE };
  return new Promise((resolve, reject) => {
    const sending = request({ socketPath, method, path, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const status = response.statusCode ?? 0;
        resolve({ status, headers: response.headers, body: Buffer.concat(chunks) });
      });
      response.on('error', reject);
    });
    sending.on('error', reject);
    sending.end(body);
  });
}
