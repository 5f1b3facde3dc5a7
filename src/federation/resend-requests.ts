/**
 * The JSON bodies by which a peer asks for its payloads again, and the batches that it is then sent
 * (transaction-manager.md §C: `/resend`, `/resendBatch`, `/pushBatch`).
 */
import { base64Of, bytesOfBase64, textOf } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { EncodedPayload } from './encoded-payload.ts';
import { decodeLegacy, encodeLegacy } from './legacy-codec.ts';

/** Payloads of one batch, at most: what a peer may ask for is held in memory. */
export const BATCH_PAYLOADS_MAX = 1_000;

export type ResendRequest =
  | { readonly type: 'ALL'; readonly publicKey: Uint8Array }
  | { readonly type: 'INDIVIDUAL'; readonly publicKey: Uint8Array; readonly key: Uint8Array };

export interface ResendBatchRequest {
  readonly publicKey: Uint8Array;
  readonly batchSize: number;
}

export function readResend(body: Uint8Array): ResendRequest {
  const fields = fieldsOf(body);
  const type = fields.type ?? '';
  if (type !== 'ALL' && type !== 'INDIVIDUAL') {
    const path = 'TransactionResource.resend.arg0.type';
    const sentence = `must match "^(ALL|INDIVIDUAL)$" (path = ${path}, invalidValue = ${type})\n`;
    throw refused(sentence);
  }
  const publicKey = bytesIn(fields, 'publicKey', 'a public key is required for resends');
  if (type === 'ALL') return { type, publicKey };
  const sentence = 'Transaction hash is required for individual resends';
  return { type, publicKey, key: bytesIn(fields, 'key', sentence) };
}

export function writeResend(request: ResendRequest): string {
  const key = request.type === 'INDIVIDUAL' ? { key: base64Of(request.key) } : {};
  return JSON.stringify({ type: request.type, publicKey: base64Of(request.publicKey), ...key });
}

export function readResendBatch(body: Uint8Array): ResendBatchRequest {
  const fields = fieldsOf(body);
  const publicKey = bytesIn(fields, 'publicKey', 'a public key is required for resends');
  const batchSize = Number(fields.batchSize);
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw refused(`batchSize is ${String(fields.batchSize)}, it must be a whole number from 1`);
  }
  return { publicKey, batchSize: Math.min(batchSize, BATCH_PAYLOADS_MAX) };
}

/** Batches are in the legacy encoding, whatever the header says. */
export function readPushBatch(body: Uint8Array): readonly EncodedPayload[] {
  const { encodedPayloads } = fieldsOf(body);
  if (!Array.isArray(encodedPayloads)) throw refused('encodedPayloads is no list');
  if (encodedPayloads.length > BATCH_PAYLOADS_MAX) {
    throw refused(`a batch has at most ${BATCH_PAYLOADS_MAX} payloads`);
  }
  return encodedPayloads.map((item: unknown) => {
    const bytes = typeof item === 'string' ? bytesOfBase64(item) : undefined;
    if (bytes === undefined) throw refused('an item of encodedPayloads is not base64');
    return decodeLegacy(bytes);
  });
}

export function writePushBatch(payloads: readonly EncodedPayload[]): string {
  return JSON.stringify({
    encodedPayloads: payloads.map((one) => base64Of(encodeLegacy(one))),
  });
}

function fieldsOf(body: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(textOf(body));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw refused('the body is no JSON object');
}

function bytesIn(
  fields: Readonly<Record<string, unknown>>,
  name: string,
  absent: string,
): Uint8Array {
  const value = fields[name];
  if (typeof value !== 'string' || value === '') throw refused(absent);
  const bytes = bytesOfBase64(value);
  if (bytes === undefined) throw refused(`${name} is not base64: ${value.slice(0, 100)}`);
  return bytes;
}

function refused(sentence: string): CodedError {
  return new CodedError('BadRequest', sentence, { status: 400 });
}
