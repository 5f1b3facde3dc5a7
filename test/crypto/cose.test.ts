// COSE: the reference ledger's signatures and receipt are read and written to the byte; decoding is
// strict.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  algorithmOfId,
  coseReceipt,
  decodeSign1,
  encodeHeader,
  encodeSign1,
  HEADER_ALGORITHM,
  HEADER_CCF,
  identityEndorsement,
  identityEndorsementHeader,
  inclusionProofs,
  innerMap,
  ledgerSignature,
  ledgerSignatureHeader,
  signatureStructure,
} from '../../src/crypto/cose.ts';
import { fromHex, REFERENCE, toHex } from '../support/ledger-vectors.ts';

const RECEIPT = new Uint8Array(readFileSync(join(REFERENCE, 'receipt.cose')));

test('the reference receipt falls into its parts, and they make it again', () => {
  const message = decodeSign1(RECEIPT);
  expect(message.payload).toBeUndefined();
  expect(algorithmOfId(message.protectedHeader.get(HEADER_ALGORITHM))).toBe('ES384');
  const proofs = inclusionProofs(message);
  expect(proofs).toHaveLength(1);
  expect(proofs[0]?.commitEvidence).toMatch(/^ce:2\.\d+:[0-9a-f]{64}$/);
  const bare = ledgerSignature(message.protectedBytes, message.signature);
  expect(toHex(coseReceipt(bare, proofs))).toBe(toHex(RECEIPT));
});

test("the ledger signature's header is CCF's, in CCF's order", () => {
  const message = decodeSign1(RECEIPT);
  const fingerprint = new TextDecoder().decode(message.protectedHeader.get(4) as Uint8Array);
  const header = ledgerSignatureHeader({
    algorithm: 'ES384',
    keyFingerprint: fingerprint,
    issuedAt: innerMap(message.protectedHeader, 15)?.get(6) as number,
    issuer: 'service.example.com',
    subject: 'ledger.signature',
    txId: innerMap(message.protectedHeader, HEADER_CCF)?.get('txid') as string,
  });
  expect(toHex(header)).toBe(toHex(message.protectedBytes));
});

test('what is signed is the structure of RFC 9052, byte by byte', () => {
  const structure = signatureStructure(fromHex('a10126'), Buffer.from('payload'));
  expect(toHex(structure)).toBe(
    `84${'6a5369676e617475726531'}43a10126${'40'}47${toHex(Buffer.from('payload'))}`,
  );
});

test('an identity endorsement carries its epoch and its key', () => {
  const root = Buffer.alloc(32, 7);
  const header = identityEndorsementHeader({
    algorithm: 'ES384',
    issuedAt: 1,
    epochStart: '2.1',
    epochEnd: { txId: '2.80', root },
  });
  const bytes = identityEndorsement(header, Buffer.from('key'), Buffer.alloc(96, 1));
  const message = decodeSign1(bytes);
  expect(Buffer.from(message.payload ?? []).toString()).toBe('key');
  const epoch = innerMap(message.protectedHeader, HEADER_CCF);
  expect([...(epoch?.keys() ?? [])]).toEqual([
    'epoch.start.txid',
    'epoch.end.txid',
    'epoch.end.merkle.root',
  ]);
  expect(toHex(epoch?.get('epoch.end.merkle.root') as Uint8Array)).toBe(toHex(root));
  expect(message.unprotected.size).toBe(0);
});

test.each([
  ['nothing', '', /tag 18/],
  ['no tag', '8443a10126a0f640', /tag 18/],
  ['another tag', 'd18443a10126a0f640', /tag 18/],
  ['three parts', 'd28343a10126a0f6', /no array of four/],
  ['a trailing byte', 'd28443a10126a0f64000', /strict CBOR/],
  ['a cut end', 'd28443a10126a0f6', /strict CBOR/],
  ['an indefinite array', 'd29f43a10126a0f640ff', /strict CBOR/],
  ['a length in more bytes than it needs', 'd2845803a10126a0f640', /strict CBOR/],
  ['a header that is a map already', 'd284a10126a0f640', /no byte string/],
  ['a label twice', 'd28445a201260127a0f640', /strict CBOR/],
  ['an empty protected header', 'd28440a0f640', /strict CBOR/],
  ['a protected header that is a list', 'd2844180a0f640', /no map/],
  ['bytes as a label', 'd28444a1410126a0f640', /neither number nor text/],
  ['a text as payload', 'd28443a10126a06161' + '40', /payload/],
  ['a signature that is null', 'd28443a10126a0f6f6', /signature/],
  ['undefined as payload', 'd28443a10126a0f740', /strict CBOR/],
  ['nesting without end', `d284${'81'.repeat(100_000)}`, /strict CBOR/],
])('a message with %s is refused', (_, hex, sentence) => {
  expect(() => decodeSign1(new Uint8Array(fromHex(hex)))).toThrow(sentence);
});

test.each<[string, unknown, RegExp]>([
  ['no proof', [], /no inclusion proof/],
  ['a proof that is no bytes', [1], /no byte string/],
  ['a proof of one part', [encodeHeader(new Map([[1, 1]]))], /leaf and path/],
  [
    'a digest of 31 bytes',
    [
      encodeHeader(
        new Map([
          [1, [new Uint8Array(31), 'ce', new Uint8Array(32)]],
          [2, []],
        ] as const),
      ),
    ],
    /32 bytes/,
  ],
  [
    'empty evidence',
    [
      encodeHeader(
        new Map([
          [1, [new Uint8Array(32), '', new Uint8Array(32)]],
          [2, []],
        ] as const),
      ),
    ],
    /1 to 1024/,
  ],
  [
    'a side that is a number',
    [
      encodeHeader(
        new Map<number, unknown>([
          [1, [new Uint8Array(32), 'ce', new Uint8Array(32)]],
          [2, [[1, new Uint8Array(32)]]],
        ]),
      ),
    ],
    /\[left, digest\]/,
  ],
])('a receipt with %s is refused', (_, proofs, sentence) => {
  const message = decodeSign1(RECEIPT);
  const unprotected = new Map([[396, new Map([[-1, proofs]])]]);
  const bytes = encodeSign1({ ...message, unprotected });
  expect(() => inclusionProofs(decodeSign1(bytes))).toThrow(sentence);
});
